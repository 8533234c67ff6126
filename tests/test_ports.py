"""Free ports, and who holds a taken one."""

import os
import socket
import subprocess
import sys

from windtunnel import ports


def test_a_listening_port_is_not_free_and_its_owner_is_named():
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert str(os.getpid()) in ports.owner(port)
    assert ports.is_free(port)


def test_who_listens_is_told_from_who_does_not():
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        port = server.getsockname()[1]
        assert not ports.listens(os.getpid(), port)
        server.listen()
        assert ports.listens(os.getpid(), port)
        assert not ports.listens(os.getppid(), port)
    assert not ports.listens(os.getpid(), port)


def test_a_process_that_has_ended_listens_to_nothing():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not ports.listens(ended.pid, 80)


def test_the_preferred_port_is_kept_when_free_and_passed_over_when_taken():
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen()
        taken = server.getsockname()[1]
        assert ports.choose(taken) != taken
    assert ports.choose(taken) == taken


def test_any_free_gives_different_ports():
    found = ports.any_free(20)
    assert len(set(found)) == 20
