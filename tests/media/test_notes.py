"""What readers note reaches whoever asked, in the same thread, and everybody as a warning."""

import threading
import warnings

import pytest

from leed_hub.media.notes import note, notes_kept


def test_a_note_is_a_warning_and_kept_by_the_innermost_who_asked():
    with pytest.warns(UserWarning) as warned, notes_kept() as outer:
        note("one.")
        with notes_kept() as inner:
            note("two.")
        note("three.")
    assert outer == ["one.", "three."] and inner == ["two."] and len(warned) == 3
    with pytest.warns(UserWarning, match="four"):
        note("four.")
    assert outer == ["one.", "three."]


def test_threads_do_not_get_each_others_notes():
    entered, noted = threading.Barrier(2, timeout=20), {}

    def read(name):
        with notes_kept() as notes:
            entered.wait()
            note(name)
            entered.wait()
        noted[name] = notes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=read, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert noted == {"a": ["a"], "b": ["b"]}
