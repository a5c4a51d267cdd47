"""Settings as an operator writes them."""

import pytest

from config.settings import BadSetting, Settings


@pytest.mark.parametrize("token", ["ABCDEF" + "0" * 34, "abcdef" + "0" * 34])
def test_the_fixed_token_is_taken_in_capitals_and_in_small_letters(token):
    assert Settings.from_environ({"OCL_ROOT_TOKEN": token}).root_token == token


@pytest.mark.parametrize("name", [".", "..", "login"])
def test_a_first_superuser_has_a_name_that_can_be_addressed(name):
    with pytest.raises(BadSetting, match="OCL_ROOT_USER"):
        Settings.from_environ({"OCL_ROOT_USER": name})


@pytest.mark.parametrize("token", ["0" * 39, "0" * 41, "g" * 40])
def test_a_fixed_token_that_no_header_could_hold_is_refused(token):
    with pytest.raises(BadSetting, match="OCL_ROOT_TOKEN"):
        Settings.from_environ({"OCL_ROOT_TOKEN": token})
