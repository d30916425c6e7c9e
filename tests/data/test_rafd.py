"""The Radboud Faces Database."""

from leed_hub.models.labels import EXPRESSIONS


def test_facts_come_from_the_file_name_in_either_case(make, load, draw_face, caplog):
    folder = make("rafd")
    draw_face(folder / "profile/Rafd180_01_Kid_female_sad_right.jpg", 1)
    draw_face(folder / "holiday.jpg", 1)
    rows = {row["file"]: row for row in load("rafd", folder, "train+validation")}
    assert len(rows) == 26
    row = rows["Rafd045_01_Moroccan_male_happy_left.JPG"]
    assert (row["yaw"], row["subject"], EXPRESSIONS[row["label"]]) == (45, "01", "happiness")
    assert (row["ethnicity"], row["gender"], row["gaze"]) == ("moroccan", "male", "left")
    assert rows["profile/Rafd180_01_Kid_female_sad_right.jpg"]["yaw"] == -90
    assert {EXPRESSIONS[row["label"]] for row in rows.values()} == set(EXPRESSIONS)
    assert "pictures with other names: 1" in caplog.text


def test_about_nine_in_ten_models_train(make, load):
    folder = make("rafd")
    assert len(set(load("rafd", folder, "train")["subject"][:])) > 18
