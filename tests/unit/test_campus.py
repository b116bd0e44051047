"""The generated university: what the walking product is shown on must have everything that real timetables have."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulator.campus import HEADERS, CampusSummary, generate, is_generated, read_summary
from workers.cli.campus import campus as campus_command

Row = dict[str, str]
OFFERINGS = 240
STUDENTS = 600
TERM_START = date(2026, 8, 31)


def rows(folder: Path, name: str) -> list[Row]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Campus:
    """One generated folder and its rows, read once for all tests here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = generate(folder, seed=11, colleges=12, offerings=OFFERINGS, students=STUDENTS)
        self.files = {name: rows(folder, name) for name in HEADERS}
        self.meetings = self.files["meetings"]
        self.good = [row for row in self.meetings if is_good(row)]


def is_good(row: Row) -> bool:
    try:
        date.fromisoformat(row["rq"])
    except ValueError:
        return False
    return row["kkh"] != "" and row["st"] < row["ed"] and row["st"] < "24" and row["zt"] != "delete"


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Campus:
    return Campus(tmp_path_factory.mktemp("campus"))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """A failure seen on a campus can be shown to somebody else by its parameters alone."""
    for name in ("one", "two"):
        generate(tmp_path / name, seed=3, colleges=5, offerings=70, students=90, gz=True)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_another_seed_gives_another_campus(tmp_path: Path) -> None:
    """A seed that changes nothing would make many runs look like evidence and be one."""
    for seed in (3, 4):
        generate(tmp_path / str(seed), seed=seed, colleges=5, offerings=70, students=90)
    one, two = bytes_of(tmp_path / "3"), bytes_of(tmp_path / "4")
    assert [name for name in ("meetings.csv", "students.csv", "enrolments.csv") if one[name] == two[name]] == []


def test_compressed_and_plain_files_hold_the_same_rows(tmp_path: Path) -> None:
    """Whoever reads `.csv.gz` must get the same university, and no stale twin of a file may stay behind."""
    generate(tmp_path, seed=3, colleges=5, offerings=70, students=90)
    plain = {name: (tmp_path / f"{name}.csv").read_bytes() for name in HEADERS}
    generate(tmp_path, seed=3, colleges=5, offerings=70, students=90, gz=True)
    assert {name: gzip.decompress((tmp_path / f"{name}.csv.gz").read_bytes()) for name in HEADERS} == plain
    assert list(tmp_path.glob("*.csv")) == []


@pytest.mark.parametrize(
    ("offerings", "students", "weeks"), [(1, 0, 1), (1, 1, 3), (3, 2, 2), (40, 30, 6), (90, 5, 24)]
)
def test_a_campus_of_any_size_has_a_session_for_every_offering(
    tmp_path: Path, offerings: int, students: int, weeks: int
) -> None:
    """The smallest and the longest terms must not lose offerings to holidays or to the rows made dirty."""
    summary = generate(tmp_path, seed=5, colleges=7, offerings=offerings, students=students, weeks=weeks)
    taught = {(row["kkh"], row["kcbh"]) for row in rows(tmp_path, "meetings") if is_good(row)}
    assert len(taught) == offerings
    assert (len(rows(tmp_path, "students")), summary.weeks) == (students, weeks)


def test_sizes_below_the_least_are_refused(tmp_path: Path) -> None:
    """A campus of nothing would make every check on it pass."""
    with pytest.raises(ValueError, match="offerings must be at least 1"):
        generate(tmp_path / "new", seed=1, colleges=1, offerings=0, students=1)
    assert not (tmp_path / "new").exists()


def test_the_summary_counts_what_the_files_hold(campus: Campus) -> None:
    """The figures on screen are compared with what arrives in the calendars."""
    summary = campus.summary
    files = campus.files
    assert summary.meetings == len(campus.meetings)
    assert summary.enrolments == len(files["enrolments"])
    assert (summary.students, summary.teachers) == (len(files["students"]), len(files["teachers"]))
    assert summary.rooms == len(files["rooms"])
    assert summary.offerings == len({(row["kkh"], row["kcbh"]) for row in campus.good}) == OFFERINGS
    assert summary.sections == len({row["kkh"] for row in campus.good})
    assert read_summary(campus.folder) == summary
    assert all(tuple(found[0]) == HEADERS[name] for name, found in files.items())


def test_every_kind_of_dirt_is_there_and_counted(campus: Campus) -> None:
    """Quarantine is shown on this campus: each reason needs rows, and rows in must equal rows out."""
    seen: Counter[str] = Counter()
    known: set[tuple[str, ...]] = set()
    for row in campus.meetings:
        whole = tuple(row.values())
        seen["duplicate"] += whole in known
        known.add(whole)
        seen["no_kkh"] += row["kkh"] == ""
        seen["unreadable_date"] += row["rq"] == "2026-13-45"
        seen["unreadable_time"] += row["st"] == "25:61"
        seen["end_before_start"] += row["ed"] <= row["st"] < "24"
        seen["deleted"] += row["zt"] == "delete"
    assert dict(seen) == campus.summary.dirt
    assert min(seen.values()) >= 1


def test_weeks_are_odd_even_and_ragged(campus: Campus) -> None:
    """Alternating weeks are where a recurrence rule would go wrong."""
    weeks: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for row in campus.good:
        weeks[row["kkh"], row["kcbh"], row["zc"]].add(int(row["jxz"]))
    long = [found for found in weeks.values() if len(found) >= 4]
    assert any(all(week % 2 for week in found) for found in long)
    assert any(not any(week % 2 for week in found) for found in long)
    assert any(len({week % 2 for week in found}) == 2 and len(found) < max(found) - min(found) for found in long)


def test_some_sections_hold_several_courses(campus: Campus) -> None:
    """`kkh` alone is no key of an offering."""
    courses: dict[str, set[str]] = defaultdict(set)
    for row in campus.good:
        courses[row["kkh"]].add(row["kcbh"])
    assert max(len(found) for found in courses.values()) == 12
    assert sum(len(found) > 1 for found in courses.values()) >= 5


def test_names_repeat_are_blank_long_and_rare(campus: Campus) -> None:
    """Names of calendars are cut, must stay unique, and must survive characters outside the basic plane."""
    names = {(row["kkh"], row["kcbh"]): row["kcmc"] for row in campus.good}
    counted = Counter(names.values())
    assert counted["体育（1）"] >= 5
    assert counted[""] >= 3
    long = [name for name in names.values() if len(name) > 40]
    assert len(long) > len({name[:40] for name in long})
    assert any(ord(character) > 0xFFFF for name in names.values() for character in name)
    assert any(ord(character) > 0xFFFF for row in campus.files["teachers"] for character in row["xm"])


def test_rooms_are_missing_double_and_phrases(campus: Campus) -> None:
    """A location is a set of texts, possibly empty, and a phrase is a text like any other."""
    good = campus.good
    missing = sum(not row["lq"] and not row["room"] for row in good) / len(good)
    assert 0.1 < missing < 0.3
    assert any(row["lq"] and not row["room"] for row in good)
    assert {"教室未定"} & {row["room"] for row in good}
    places: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    blocks: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    for row in good:
        slot = (row["kkh"], row["kcbh"], row["rq"])
        places[*slot, row["jc"]].add((row["lq"], row["room"]))
        blocks[slot].add((row["lq"], row["room"]))
    assert any(len(found) == 2 for found in places.values())
    assert any(
        len(found) > 1 and all(len(places[*slot, jc]) < 2 for jc in "123456789") for slot, found in blocks.items()
    )
    shared = Counter((row["lq"], row["room"], row["rq"], row["jc"]) for row in good if row["room"])
    assert max(shared.values()) > 1


def test_exchange_days_move_classes_to_earlier_days_and_from_even_to_odd_weeks(campus: Campus) -> None:
    """`rq` is the truth where it differs from week and weekday."""
    moved: dict[date, date] = {}
    for row in campus.good:
        planned = TERM_START + timedelta(days=7 * (int(row["jxz"]) - 1) + int(row["zc"]) - 1)
        if str(planned) != row["rq"]:
            moved[date.fromisoformat(row["rq"])] = planned
    pairs = dict(pair.split("=") for pair in campus.files["terms"][0]["exchange"].split(";"))
    assert {str(made_up): str(planned) for made_up, planned in moved.items()} == pairs
    assert any(made_up < planned for made_up, planned in moved.items())
    assert any(made_up > planned for made_up, planned in moved.items())
    assert any(week_of(planned) % 2 == 0 and week_of(made_up) % 2 == 1 for made_up, planned in moved.items())


def week_of(day: date) -> int:
    return (day - TERM_START).days // 7 + 1


def test_the_clock_changes_inside_the_term_and_rows_follow_it(campus: Campus) -> None:
    """One period has two times in one term; each row has the one of its own date."""

    @cache
    def listed(campus_name: str, period: str, day: str) -> tuple[str, str]:
        found = [row for row in campus.files["periods"] if (row["xq"], row["jc"]) == (campus_name, period)]
        current = max((row for row in found if row["from"] <= day), key=lambda row: row["from"])
        return current["st"], current["ed"]

    assert len({row["from"] for row in campus.files["periods"]}) == 2
    assert all((row["st"], row["ed"]) == listed(row["xq"], row["jc"], row["rq"]) for row in campus.good)
    assert len({row["st"] for row in campus.good if (row["xq"], row["jc"]) == ("东湖", "7")}) == 2


def test_evenings_weekends_and_overlapping_periods_are_taught(campus: Campus) -> None:
    """Two periods that overlap by five minutes are still one class."""
    periods = {row["jc"]: row for row in campus.files["periods"] if row["xq"] == "东湖" and row["from"] == "2026-08-31"}
    assert periods["12"]["st"] < periods["11"]["ed"]
    held: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in campus.good:
        held[row["kkh"], row["kcbh"], row["rq"]].add(row["jc"])
    assert any({"11", "12"} <= found for found in held.values())
    assert {"6", "7"} <= {row["zc"] for row in campus.good}


def test_teachers_are_several_unknown_absent_and_abbreviated(campus: Campus) -> None:
    """Teacher columns hold every separator, 等, no one, and people that no directory knows."""
    names = {row["xms"] for row in campus.good}
    assert all(any(separator in found for found in names) for separator in ",，、;")
    assert any(found.endswith("等") for found in names)
    assert "" in names
    known = {row["gh"] for row in campus.files["teachers"]}
    codes = {code for row in campus.good for code in row["ghs"].split(",") if code}
    assert codes - known
    assert codes & known
    assert any(row["xms"] and not row["ghs"] for row in campus.good)
    by_slot: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in campus.good:
        by_slot[row["kkh"], row["kcbh"], row["zc"], row["jc"]].add(row["xms"])
    assert any(len(found) == 2 for found in by_slot.values())


def test_colleges_are_blank_in_a_few_rows_and_two_in_some_offerings(campus: Campus) -> None:
    """Such rows need a lane too."""
    colleges: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in campus.good:
        colleges[row["kkh"], row["kcbh"]].add(row["kkxy"])
    blank = sum(not row["kkxy"] for row in campus.good) / len(campus.good)
    assert 0.01 < blank < 0.1
    assert any(found == {""} for found in colleges.values())
    assert any(len(found - {""}) == 2 for found in colleges.values())
    assert len({row["kkxy"] for row in campus.good} - {""}) == campus.summary.colleges


def test_rolls_are_empty_huge_unknown_and_clashing(campus: Campus) -> None:
    """Members go out in hundreds, unknown people are findings, and students do clash."""
    rolls: dict[str, list[str]] = defaultdict(list)
    for row in campus.files["enrolments"]:
        rolls[row["kkh"]].append(row["xh"])
    sections = {row["kkh"] for row in campus.good}
    sizes = [len(set(rolls.get(section, ()))) for section in sections]
    assert 0 in sizes
    assert 3 <= sum(size > 100 for size in sizes) < len(sizes) / 5
    known = {row["xh"] for row in campus.files["students"]}
    assert any(set(roll) - known for roll in rolls.values())
    assert set(rolls) - sections
    assert any(len(roll) > len(set(roll)) for roll in rolls.values())
    at: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in campus.good:
        at[row["rq"], row["st"]].add(row["kkh"])
    assert any(clashing(found, rolls) for found in at.values())


def clashing(sections: set[str], rolls: dict[str, list[str]]) -> bool:
    counted = Counter(student for section in sections for student in set(rolls.get(section, ())))
    return any(count > 1 for count in counted.values())


def test_rooms_have_coordinates_but_for_a_few(campus: Campus) -> None:
    """Fences need them; their absence is a case of its own."""
    rooms = campus.files["rooms"]
    placed = [row for row in rooms if row["lat"]]
    assert 0 < len(rooms) - len(placed) < len(rooms) / 10
    assert all(20 < float(row["lat"]) < 50 and 80 < float(row["lon"]) < 130 for row in placed)
    used = {(row["xq"], row["lq"], row["room"]) for row in campus.good if row["lq"] and row["room"]}
    assert used <= {(row["xq"], row["lq"], row["room"]) for row in rooms}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(campus_command, [str(argument) for argument in arguments])


SMALL = ("--offerings", 30, "--students", 20, "--colleges", 4)


def test_the_command_prints_counts_or_one_json_object(tmp_path: Path) -> None:
    """People read the table, scripts the object; nothing else may stand on standard output."""
    spoken = run(tmp_path / "a", *SMALL)
    assert spoken.exit_code == 0
    assert "offerings" in spoken.stdout
    answer = run(tmp_path / "b", *SMALL, "--gz", "--json")
    found = json.loads(answer.stdout)
    assert found.pop("directory") == str(tmp_path / "b")
    assert CampusSummary(**found) == read_summary(tmp_path / "b")
    assert (tmp_path / "b" / "meetings.csv.gz").is_file()


def test_the_command_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """Real timetables must not be overwritten by a slip; the message says what to do instead."""
    theirs = tmp_path / "meetings.csv"
    theirs.write_text("kkh\nreal\n", encoding="utf-8")
    refused = run(tmp_path, *SMALL)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert theirs.read_text(encoding="utf-8") == "kkh\nreal\n"
    assert run(tmp_path, *SMALL, "--force").exit_code == 0
    assert len(rows(tmp_path, "students")) == 20


def test_the_command_writes_its_own_folder_anew(tmp_path: Path) -> None:
    """Running again with another size, or after being interrupted, needs no cleaning up by hand."""
    assert run(tmp_path / "c", *SMALL).exit_code == 0
    (tmp_path / "c" / "enrolments.csv").unlink()
    assert is_generated(tmp_path / "c")
    again = run(tmp_path / "c", "--offerings", 31, "--students", 21, "--colleges", 4)
    assert again.exit_code == 0
    assert len(rows(tmp_path / "c", "students")) == 21


def test_the_command_names_the_remedy_where_it_cannot_write(tmp_path: Path) -> None:
    """A file in the way is a message and an exit code, not a traceback."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    in_the_way = run(tmp_path / "file", *SMALL)
    assert in_the_way.exit_code == 2
    assert "is a file" in in_the_way.stderr
    below = run(tmp_path / "file" / "campus", *SMALL)
    assert below.exit_code == 1
    assert "Choose a folder" in below.stderr
    assert run(tmp_path / "d", "--offerings", 0).exit_code == 2
