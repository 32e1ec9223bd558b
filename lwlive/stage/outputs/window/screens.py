"""Which monitor a window is on, and where on it the window begins."""

import pygame

from lwlive.stage.outputs.window.geometry import Place, start_size
from lwlive.stage.outputs.window.monitor import named


class NoScreen(RuntimeError):  # noqa: N818 - not a fault: many machines have no screen
    """No window can be opened here; the show can still run headless."""


class NoMonitor(ValueError):  # noqa: N818 - named like NoScreen
    """There is no monitor of that number."""


def monitors() -> list[tuple[int, int]]:
    """Sizes of the monitors. Raises NoScreen where SDL has none, or only an imagined one."""
    pygame.display.init()
    driver = pygame.display.get_driver()
    if driver in ("dummy", "offscreen"):
        raise NoScreen(
            f"there is no screen here (SDL found only its {driver!r} driver); "
            "on Linux, is DISPLAY or WAYLAND_DISPLAY set?"
        )
    return pygame.display.get_desktop_sizes()


def found(monitor: str, sizes: list[tuple[int, int]]) -> tuple[int, str | None]:
    """The number of a monitor, and its name where that was given. Raises NoMonitor."""
    if monitor.isdecimal() and int(monitor) < len(sizes):
        return int(monitor), None
    areas = named()
    if monitor in areas:  # SDL tells no names: its number is that of one as large
        size = areas[monitor].width, areas[monitor].height
        return (sizes.index(size) if size in sizes else 0), monitor
    count = len(sizes)
    known = "the only monitor is 0" if count == 1 else f"there are {count}, 0 to {count - 1}"
    by_name = f", by name {', '.join(areas)}" if areas else ""
    raise NoMonitor(f"there is no monitor {monitor}: {known}{by_name}")


def beginning(
    monitor: tuple[int, int],
    picture: tuple[int, int],
    number: int,
    name: str | None,
    place: Place | None,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Place and size of a window at its start."""
    if place is not None and not place.fullscreen:
        return (place.x, place.y), (place.width, place.height)
    size = start_size(monitor, picture)
    area = named().get(name) if name is not None else None
    if area is not None:
        at = area.x + (area.width - size[0]) // 2, area.y + (area.height - size[1]) // 2
        return at, size
    centre = pygame.WINDOWPOS_CENTERED | number  # SDL's notation: low bits, the monitor
    return (centre, centre), size
