"""Settings of a method: typed, validated, immutable. Each one states its source: a paper, or "our default"."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdir_nb.errors import CdirError


def setting(default: Any, source: str, **limits: Any) -> Any:
    """A field of `Settings`: its default, the source of that default, and pydantic's limits (ge, gt, le, lt)."""
    return Field(default, description=source, **limits)


class Settings(BaseModel):
    """Base class of all settings. Raises a one-line CdirError for an unknown name, a wrong type or an invalid value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    method: ClassVar[str] = "settings"  # error messages begin with it

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise CdirError(f"{self.method}: {self._problems(error)}") from None

    @classmethod
    def _problems(cls, error: ValidationError) -> str:
        """One line: each invalid value with its constraint, then the unknown names."""
        wrong = [(".".join(map(str, item["loc"])), item) for item in error.errors()]
        unknown = [name for name, item in wrong if item["type"] == "extra_forbidden"]
        lines = [
            f"{name} {item['msg'].removeprefix('Input ')}, not {item['input']!r}"
            for name, item in wrong
            if name not in unknown
        ]
        if unknown:
            lines.append(f"unknown settings {', '.join(unknown)}; available: {', '.join(cls.model_fields)}")
        return "; ".join(lines)

    def changed(self, **values: Any) -> Self:
        """A copy with some values changed; nested settings are named as in `table`: {"refinement.steps": 10}."""
        current = dict(self)
        for name, value in values.items():
            part, _, inner = name.partition(".")
            nested = inner and isinstance(current.get(part), Settings)
            current[part if nested else name] = current[part].changed(**{inner: value}) if nested else value
        return type(self)(**current)

    def plain(self) -> dict[str, Any]:
        """The settings as plain data (numbers, strings, lists, dicts), for records and cache keys."""
        return self.model_dump(mode="json")

    def table(self) -> list[dict[str, str]]:
        """Rows of setting, value, source; the source of a changed value names the default.

        Nested settings get rows with names such as `refinement.steps`.
        """
        rows = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                rows += [{**row, "setting": f"{name}.{row['setting']}"} for row in value.table()]
                continue
            changed = "" if value == field.default else f"set here; default {field.default} ({field.description})"
            rows.append({"setting": name, "value": str(value), "source": changed or field.description})
        return rows
