"""Every setting with its value, for the terminal."""

from pydantic_settings import BaseSettings
from rich.console import RenderableType
from rich.table import Table

from components.settings import home, load_cluster_settings, load_settings, read_settings
from components.web import shown
from pipelines.kubeflow.settings import ClientSettings, CompileSettings


def settings_view() -> RenderableType:
    """Draw the settings by the names that the environment and `settings.env` know them by."""
    file = home() / "settings.env"
    title = f"from the environment and {file}"
    table = Table("setting", "value", "what it does", title=title, title_justify="left", box=None)
    table.columns[0].no_wrap = True  # a name that is cut off can't be copied
    table.columns[1].overflow = "fold"
    kubeflow = (read_settings(ClientSettings), read_settings(CompileSettings))
    for settings in (load_settings(), load_cluster_settings(), *kubeflow):
        _add(table, settings)
    return table


def _add(table: Table, settings: BaseSettings) -> None:
    prefix = str(type(settings).model_config["env_prefix"])
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        table.add_row(f"{prefix}{name.upper()}", shown(str(value)), field.description or "")
