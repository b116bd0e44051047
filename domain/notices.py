"""What people are told by the product, in words; Chinese first, English beside it."""

from collections.abc import Mapping
from typing import Any, Final

EXPORT_DONE, EXPORT_FAILED = "export.done", "export.failed"

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    EXPORT_DONE: (
        "您要的文件已经做好（{kind}，{rows} 行），请在保留期内下载",
        "Your file is ready ({kind}, {rows} rows); fetch it while it is kept",
    ),
    EXPORT_FAILED: (
        "您要的文件没能做成（{kind}），请重新申请；再次失败请联系管理员",
        "Your file could not be made ({kind}); ask again, and tell the administrator if that fails too",
    ),
}
"""Every kind of notice; what stands in braces is in its body."""


def sentence(kind: str, body: Mapping[str, Any], *, zh: bool) -> str:
    """A notice in words; of a kind that this version does not know, its kind."""
    words = WORDS.get(kind)
    return kind if words is None else words[0 if zh else 1].format_map(body)
