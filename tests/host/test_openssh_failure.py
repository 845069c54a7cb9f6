"""What ssh says, as a sentence: its words here are those of OpenSSH 8.4 to 9.9."""

import pytest

from imagekit.host.openssh_failure import ConnectionLost, explain_failure


@pytest.mark.parametrize(
    ("said", "sentence", "passing"),
    [
        ("ssh: Could not resolve hostname nas: Name or service not known", "its name nas does not resolve", True),
        ("ssh: connect to host nas port 22: Connection refused", "no SSH server answers", True),
        ("ssh: connect to host nas port 22: Connection timed out", "did not answer in time", True),
        ("ssh: connect to host nas port 22: No route to host", "no way to it", True),
        ("Connection timed out during banner exchange", "did not answer in time", True),
        ("kex_exchange_identification: Connection closed by remote host", "ended the connection", True),
        ("Connection reset by 192.0.2.1 port 22", "ended the connection", True),
        ("No ED25519 host key is known for nas and you have requested strict checking.", "not known yet", False),
        ("Host key verification failed.", "not known yet", False),
        ("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another host key", False),
        ("u@nas: Permission denied (publickey,password).", r"it takes publickey,password", False),
        ("Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures", "too many keys", False),
        ("UNPROTECTED PRIVATE KEY FILE!\nu@nas: Permission denied (publickey).", "others can read", False),
        ("Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-dss",
         "no host key type in common", False),
        ("/c: line 3: Bad configuration option: foo\n/c: terminating, 1 bad", "mistake: foo", False),
        ("something new \x1b[31m", "something new ?[31m", False),
        ("", "ssh says no reason", False),
    ],
)  # fmt: skip
def test_reasons_become_sentences(said: str, sentence: str, passing: bool) -> None:
    """Each reason has a sentence and a hint; those that pass by themselves are told apart."""
    problem = explain_failure("nas", said, login="ssh nas", address="nas")
    assert sentence in problem.message
    assert problem.message.startswith("nas cannot be entered: ")
    assert problem.hint
    assert isinstance(problem, ConnectionLost) is passing
