"""Structured field values (RFC 9651): dictionaries of items and inner lists, read strictly and within bounds."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from frameworks.kit.errors import Refusal

MOST_MEMBERS = 256
MOST_ITEMS = 64

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_NUMBER = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,3}))?")
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_BOOLEAN = re.compile(r"\?[01]")
_ESCAPED = re.compile(r"\\(.)")


class BadField(Refusal):
    """Text that is no structured field, or one with too many members."""

    code: ClassVar = "structured_field.invalid"


class Token(str):
    """A bare word, as against a quoted string."""

    __slots__ = ()


Bare = int | Decimal | str | bool
Item = tuple[Bare, dict[str, Bare]]


@dataclass(frozen=True, slots=True)
class Member:
    """The value of a dictionary's key: one item, or an inner list of them."""

    items: tuple[Item, ...]
    is_list: bool = False

    @property
    def value(self) -> Bare:
        """The first value; False of an empty list."""
        return self.items[0][0] if self.items else False


def dictionary(text: str) -> dict[str, Member]:
    """The members of a dictionary, the last of each name; raises BadField."""
    reader = _Reader(text.strip(" "))
    found: dict[str, Member] = {}
    while not reader.at_end():
        if len(found) >= MOST_MEMBERS:
            raise BadField(f"A dictionary has at most {MOST_MEMBERS} members.")
        key = reader.match(_KEY, "a key").group()
        found[key] = reader.member() if reader.take("=") else Member(((True, reader.parameters()),))
        reader.space()
        if not reader.at_end():
            reader.need(",")
            reader.space()
            if reader.at_end():
                raise BadField("A dictionary ends with a comma.")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def take(self, character: str) -> bool:
        if not self._text.startswith(character, self._at):
            return False
        self._at += len(character)
        return True

    def need(self, character: str) -> None:
        if not self.take(character):
            raise BadField(f"Expected {character!r} at {self._at}.")

    def space(self) -> None:
        while self.take(" ") or self.take("\t"):
            pass

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise BadField(f"Expected {what} at {self._at}.")
        self._at = found.end()
        return found

    def member(self) -> Member:
        if not self.take("("):
            return Member((self._item(),))
        items: list[Item] = []
        while True:
            self.space()
            if self.take(")"):
                self.parameters()
                return Member(tuple(items), is_list=True)
            if len(items) >= MOST_ITEMS:
                raise BadField(f"An inner list has at most {MOST_ITEMS} items.")
            items.append(self._item())
            if not self._text.startswith((" ", ")"), self._at):
                raise BadField(f"Expected a space or the list's end at {self._at}.")

    def parameters(self) -> dict[str, Bare]:
        found: dict[str, Bare] = {}
        while self.take(";"):
            self.space()
            if len(found) >= MOST_ITEMS:
                raise BadField(f"An item has at most {MOST_ITEMS} parameters.")
            key = self.match(_KEY, "a parameter").group()
            found[key] = self._bare() if self.take("=") else True
        return found

    def _item(self) -> Item:
        return self._bare(), self.parameters()

    def _bare(self) -> Bare:
        head = self._text[self._at : self._at + 1]
        if head == '"':
            return _ESCAPED.sub(r"\1", self.match(_STRING, "a string").group(1))
        if head == "?":
            return self.match(_BOOLEAN, "?0 or ?1").group() == "?1"
        if head == "-" or head.isdecimal():
            return self._number()
        return Token(self.match(_TOKEN, "a value").group())

    def _number(self) -> Bare:
        sign, whole, fraction = self.match(_NUMBER, "a number").groups()
        following = self._text[self._at : self._at + 1]
        if following == "." or following.isdecimal() or (fraction and len(whole) > 12):
            raise BadField(f"A number is too long at {self._at}.")
        return int(sign + whole) if fraction is None else Decimal(f"{sign}{whole}.{fraction}")
