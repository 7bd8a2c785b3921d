"""The type of the structured answer; apart from the answers, since the server needs no pydantic."""

from pydantic import BaseModel


class Source(BaseModel):
    title: str
    year: int


class Report(BaseModel):
    text_0: str
    text_1: str
    text_2: str
    text_3: str
    text_4: str
    text_5: str
    text_6: str
    text_7: str
    text_8: str
    text_9: str
    count_0: int
    count_1: int
    count_2: int
    share_0: float
    share_1: float
    is_reviewed: bool
    is_public: bool
    keywords: list[str]
    sources: list[Source]
    language: str
