"""Words from which a generated university takes its names: colleges, courses, people, places, remarks."""

from random import Random

COLLEGES = (
    "数学学院", "物理学院", "化学与分子工程学院", "生命科学学院", "计算机科学与技术学院", "软件学院",
    "人工智能学院", "电子与信息学院", "自动化学院", "机械工程学院", "材料学院", "土木与交通学院",
    "建筑与规划学院", "环境与能源学院", "航空航天学院", "船舶工程学院", "医学院", "药学院", "护理学院",
    "公共卫生学院", "口腔医学院", "农学院", "食品科学学院", "园林学院", "经济学院", "管理学院", "会计学院",
    "法学院", "马克思主义学院", "公共管理学院", "社会学系", "新闻与传播学院", "文学院", "历史学院", "哲学系",
    "外国语言学院", "国际教育学院", "艺术学院", "音乐学院", "设计与创意学院", "教育学院", "心理学系",
    "体育教学部", "图书馆", "工程训练中心", "创新创业学院", "学生工作部（处）", "研究生院", "继续教育学院",
    "海洋与地球学院",
)  # fmt: skip

# Courses that everybody takes: the same name stands over very many offerings.
COMMON_COURSES = (
    ("TY1001", "体育（1）"),
    ("TY1001", "体育（1）"),
    ("TY1001", "体育（1）"),
    ("TY1002", "体育（2）"),
    ("TY1003", "体育(3)"),
    ("YY1001", "大学英语（1）"),
    ("YY1002", "大学英语（2）"),
    ("SX1001", "高等数学A（1）"),
    ("SX1003", "线性代数"),
    ("WL1001", "大学物理（1）"),
    ("SZ1001", "思想道德与法治"),
    ("SZ1002", "形势与政策"),
    ("JS1001", "军事理论"),
    ("XL1001", "大学生心理健康"),
    ("ZY1001", "职业生涯规划"),
)

COURSE_STEMS = (
    "数学分析", "概率论", "数值计算方法", "拓扑学", "离散数学", "运筹学", "理论力学", "量子力学", "热力学", "光学",
    "固体物理", "有机化学", "无机化学", "物理化学", "生物化学", "遗传学", "细胞生物学", "微生物学", "数据结构",
    "操作系统", "计算机网络", "编译原理", "数据库系统", "机器学习", "计算机视觉", "软件工程", "信息安全",
    "电路分析", "模拟电子技术", "数字信号处理", "自动控制原理", "嵌入式系统", "机械设计", "工程制图", "材料力学",
    "流体力学", "传热学", "结构力学", "测量学", "城市规划", "建筑设计", "环境监测", "水文学", "飞行器设计",
    "船舶原理", "解剖学", "病理学", "药理学", "诊断学", "流行病学", "食品化学", "植物学", "土壤学",
    "微观经济学", "宏观经济学", "计量经济学", "金融学", "会计学", "市场营销", "组织行为学", "人力资源管理",
    "民法", "刑法", "国际法", "行政管理", "社会调查方法", "新闻采访", "现代汉语", "古代文学", "中国通史", "世界史",
    "西方哲学", "逻辑学", "日语", "法语", "德语", "翻译理论", "素描", "乐理", "视听语言", "教育心理学", "课程论",
)  # fmt: skip

COURSE_ENDINGS = (
    "", "", "", "", "（1）", "（2）", "A", "B", "实验", "导论", "专题", "（双语）", "(全英文)", "课程设计", "Ⅱ",
    "—前沿讲座",
)  # fmt: skip

LONG_COURSE = "面向新工科的{stem}交叉前沿专题研讨与校外实践基地综合训练（含劳动教育、创新创业与社会调查环节）{ending}"
EMOJI_COURSES = ("创意编程🚀（双语）", "👩‍🔬科学传播与实践", "𠮷祥文化与䶮字研究")

SURNAMES: tuple[str, ...] = (
    *"王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆",
    "欧阳",
    "司马",
    "上官",
    "诸葛",
)
GIVEN = tuple("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国文斌宇浩然子轩雨涵思远嘉怡欣悦晨曦若彤")
RARE_NAMES = ("王䶮", "李𠮷", "马㛃", "陈𬭎", "买买提·艾力")

CAMPUSES = ("东湖", "南山", "滨江")
BUILDINGS = (
    "第一教学楼", "第二教学楼", "逸夫楼", "明德楼", "理科楼", "文科楼", "工学馆", "实验中心", "信息楼", "图书馆西楼",
)  # fmt: skip
GROUNDS = ("田径场", "体育馆二楼", "游泳馆", "网球场")

# What clerks type where a room should be: to be announced, online, not offered, practice outside.
ROOM_PHRASES = ("教室未定", "线上学习", "不开", "校外实践")
REMARKS = (
    "", "", "", "限本专业", "含实验8学时", "教室未定，等通知", "双语授课；小班 ", " 单周上课,双周自习",
    "第一次课讲安全\n地点：实验中心一楼", '教材："第3版"',
)  # fmt: skip


def college_name(number: int) -> str:
    """Name of the college with this number, from 0; distinct for every number."""
    name = COLLEGES[number % len(COLLEGES)]
    turn = number // len(COLLEGES)
    return f"{name}第{turn + 1}分院" if turn else name


def person_name(rng: Random) -> str:
    """A Chinese name of two to four characters."""
    return rng.choice(SURNAMES) + "".join(rng.choices(GIVEN, k=1 if rng.random() < 0.25 else 2))


def course_name(rng: Random) -> str:
    """The name of one course of a college's own programme."""
    return rng.choice(COURSE_STEMS) + rng.choice(COURSE_ENDINGS)


def long_course_name(rng: Random) -> str:
    """A name longer than the 40 characters WPS allows for a calendar; most share their first ones."""
    return LONG_COURSE.format(stem=rng.choice(COURSE_STEMS[:4]), ending=rng.choice(("", "（1）", "（2）")))
