"""Texts in a wrong encoding, made by Python's own codecs."""

import pytest

from seq2seq.data.wrong_encoding import WrongEncoding, wrong_encoding

TEXTS = ["Ein Café für Änderungen", "à la crème, ça va?", "“Yes” – it’s", "El niño costó 20°"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", TEXTS)
def test_utf8_that_is_read_in_another_encoding_is_found(text, encoding):
    wrong = text.encode("utf-8").decode(encoding, errors="replace")
    assert wrong_encoding([{"source": text}]).records == 0
    counted = wrong_encoding([{"source": text, "target": ["a", wrong]}, {"source": wrong}])
    assert counted.records == 2
    assert counted.example in f"a {wrong}"  # tokens are one text


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_another_encoding_are_found(text):
    wrong = text.encode("cp1252").decode("utf-8", errors="replace")
    assert wrong_encoding([{"source": wrong}]).records == 1


def test_control_characters_are_found_and_white_space_is_not():
    good = [{"a": "one\ttwo\r\nthree\u00a0\u200b"}, {"a": 3.5, "b": None}]
    assert wrong_encoding(good) == WrongEncoding(0, "")
    for character in "\x00\x07\x85\ud800":
        assert wrong_encoding([*good, {"a": f"one{character}two"}]).records == 1


@pytest.mark.parametrize("language", ["Portuguese", "French", "Vietnamese", "Romanian"])
def test_languages_with_many_accents_are_right(language):
    texts = {
        "Portuguese": "NÃO, IRMÃ… AMANHÃ” – São João, Âmbar",
        "French": "Â l’ÂGE… «Âme», CAFÉ” É…",
        "Vietnamese": "Ấy là Âu Cơ, Ân và Ất; trắng như bông",
        "Romanian": "ÎN CÂMP, Âncora, și țară",
    }
    assert wrong_encoding([{"text": texts[language]}]).records == 0
