"""Each kind of secret and of personal data is found where it is planted; examples are none."""

import pytest
from potstill import privacy

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "AWS Access Key": "AKIA" + "QYLPMN5HHHFPZAM2",
    "GitHub Token": "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "GitLab Token": "glpat-" + "hellOworld380_testin",
    "Slack Token": "xoxb-" + "34532454-e039d02840a0b9379c",
    "Stripe Access Key": "sk_live_" + "ReTllpYQYfIZu2Jnf2lAPFjD",
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow",
    "Basic Auth Credentials": "https://ana:" + "hunter2xx@host.net/a",
    "Google API Key (newer form)": "AIza" + "Sy" + "a1B2" * 8 + "c",
    "OpenAI or Anthropic Key (newer form)": "sk-ant-" + "api03-abcdefghijklmnop",
    "Hugging Face Token (newer form)": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
}
PERSONAL = {
    "e-mail": "write to ana.kovac@posta.hr today",
    "phone": "call +385 91 234 5678",
    "IBAN": "pay to GB29 NWBK 6016 1331 9268 19",
    "card": "with 4111 1111 1111 1111",
    "US social security": "his number is 219-09-9999",
    "internet address": "the server 93.184.216.34 answers",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_planted_secret_is_found_in_code(kind):
    code = f'def f(x):\n    key = """{SECRETS[kind]}"""\n    return key + x\n'
    assert privacy.find(code) == ("secret", kind)


@pytest.mark.parametrize("kind", PERSONAL)
def test_planted_personal_data_is_found_in_a_request(kind):
    assert privacy.find(f"Write a function that says {PERSONAL[kind]}.") == ("personal", kind)


@pytest.mark.parametrize("number", ["(212) 736-5000", "212-736-5000", "+1 212 736 5000"])
def test_a_telephone_number_is_found_in_the_forms_that_people_write(number):
    assert privacy.find(f"number = '{number}'") == ("personal", "phone")


@pytest.mark.parametrize(
    "text",
    [
        "mail('user@example.com', 'a@b.com')",
        "x = '+1 202 555 0123'",
        "GB29 NWBK 6016 1331 9268 18",  # wrong check digits
        "4111 1111 1111 1112",
        "version 3.11.4.2 and 127.0.0.1, 192.0.2.7 and 10.0.0.1",
        "2024-01-15 12:30:45, 1000000007, 3.14159265358979, 0xdeadbeef",
        "a[1:-1] + b[2] - 123 * 456 - 7890",
        "def matrix_multiplication_of_two_large_matrices(first, second): return first @ second",
        "@decorator\ndef f(): pass",
    ],
)
def test_what_looks_alike_is_not(text):
    assert privacy.find(text) is None
