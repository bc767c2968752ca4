"""Where the lessons lie, and copies of them without their outputs, to predict and practise in."""

import json
import shutil
from pathlib import Path

from helpers.endpoint.dotenv_file import COURSE

LESSON = "[0-9][0-9]_*.ipynb"


def practice() -> None:
    """Copy each lesson without its outputs into the folder `practice`, beside `notebooks`.

    What lies there already is left as it is: to begin a lesson anew, rename your copy and call
    again. The lessons themselves stay as they are, outputs included.

    Raises:
        FileNotFoundError: the lessons are not there, as where `helpers` alone is installed.
        OSError: the folder cannot be written.
    """
    lessons = found()
    if not lessons:
        raise FileNotFoundError(
            f"There are no lessons in or above {Path.cwd()}: only the helpers are here. Open a "
            "lesson in its folder, and call practice() there."
        )
    notebooks = lessons[0].parent
    practice = notebooks.parent / "practice"
    practice.mkdir(exist_ok=True)
    made = sum(_copy(path, practice) for path in lessons)
    if not (practice / "data").exists():
        shutil.copytree(notebooks / "data", practice / "data")  # the book of lesson 07
    kept = len(lessons) - made
    print(f"{made} of {len(lessons)} lessons copied without outputs.")
    if kept:
        print(f"{kept} in practice/ already, and left as they are.")
    print(f"Open practice/{lessons[0].name}")


def found() -> list[Path]:
    """Return the lessons in their order, those that the notebook stands among first; or none.

    In a class `helpers` is installed once for all, and each learner has lessons of their own.
    """
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, COURSE):
        if lessons := sorted((folder / "notebooks").glob(LESSON)):
            return lessons
    return []


def _copy(lesson: Path, practice: Path) -> bool:
    """Copy a lesson unless there is one of that name; return whether it was copied."""
    notebook = json.loads(lesson.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    try:
        with (practice / lesson.name).open("x", encoding="utf-8") as file:
            json.dump(notebook, file, ensure_ascii=False, indent=1)
    except FileExistsError:
        return False
    return True
