"""Settings of a method: typed, checked and fixed. Each value carries its source: a paper, or "our default"."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdir_nb.errors import CdirError


def setting(default: Any, source: str, *, added_later: bool = False, **limits: Any) -> Any:
    """A field of `Settings`: its default, where that comes from, and limits as pydantic names them (ge, gt, le, lt).

    added_later  numbers were recorded before this setting was there: `plain` leaves it out while it has its default,
                 so that the digests in these records stay
    """
    return Field(default, description=source, json_schema_extra={"added_later": added_later}, **limits)


class Settings(BaseModel):
    """Base of all settings. Raises CdirError, in one line, for an unknown name, a wrong type, a value out of range."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    method: ClassVar[str] = "settings"  # what an error begins with

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise CdirError(f"{self.method}: {self._problems(error)}") from None

    @classmethod
    def _problems(cls, error: ValidationError) -> str:
        """One line: each wrong value with what it should be, then the names that are not known."""
        wrong = [(".".join(map(str, item["loc"])), item) for item in error.errors()]
        unknown = [name for name, item in wrong if item["type"] == "extra_forbidden"]
        lines = [
            f"{name} is {item['input']!r}, it {item['msg'].removeprefix('Input ')}"
            for name, item in wrong
            if name not in unknown
        ]
        if unknown:
            lines.append(f"unknown settings {', '.join(unknown)}; known: {', '.join(cls.model_fields)}")
        return "; ".join(lines)

    def changed(self, **values: Any) -> Self:
        """A copy with other values; a setting of a part is named as in `table`: {"refinement.steps": 10}."""
        mine = dict(self)
        for name, value in values.items():
            part, _, inner = name.partition(".")
            nested = inner and isinstance(mine.get(part), Settings)
            mine[part if nested else name] = mine[part].changed(**{inner: value}) if nested else value
        return type(self)(**mine)

    def plain(self) -> dict[str, Any]:
        """Plain data, for the digest in records (see `setting` for what is left out)."""
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                values[name] = value.plain()
            elif field.json_schema_extra["added_later"] and value == field.default:
                del values[name]
        return values

    def table(self) -> list[dict[str, str]]:
        """Rows of setting, value, source; a value that is not the default says so.

        A setting that has settings itself gives its own rows, named `refinement.steps`.
        """
        rows = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                rows += [{**row, "setting": f"{name}.{row['setting']}"} for row in value.table()]
                continue
            changed = "" if value == field.default else f"set here, not {field.default} ({field.description})"
            rows.append({"setting": name, "value": str(value), "source": changed or field.description})
        return rows
