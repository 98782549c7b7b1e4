"""The list of object names: honest size, no doubles, and no name of a test class."""

import pytest

from cdir_nb.data.objects import LIST, object_names
from cdir_nb.errors import CdirError


def test_the_list_holds_more_than_a_thousand_different_names():
    names = object_names()
    assert len(names) > 1500 and len({name.lower() for name in names}) == len(names)
    assert all(name == name.strip() and "_" not in name and not name.startswith("#") for name in names)


def test_excluded_classes_go_with_their_plurals_spellings_and_compounds(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# remark, guitar\nguitar, electric guitar, hot dog, dog, scissors\nlighthouse, light\n")
    assert object_names(["guitars", "Hot_Dog", "scissor"], path) == ["dog", "lighthouse", "light"]
    assert object_names(["light house"], path)[-1] == "light"
    assert object_names([], path) == ["guitar", "electric guitar", "hot dog", "dog", "scissors", "lighthouse", "light"]


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(CdirError, match=r'not one string: write \["guitar"\]'):
        object_names("guitar")
    with pytest.raises(CdirError, match="none.txt: the list of object names cannot be read .*: check the path"):
        object_names(path=tmp_path / "none.txt")
    (tmp_path / "one.txt").write_text("cup")
    with pytest.raises(CdirError, match="one.txt has no object names besides the excluded classes"):
        object_names(["cups"], tmp_path / "one.txt")
    assert LIST.is_file()
