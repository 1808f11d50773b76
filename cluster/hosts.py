"""Test hosts on one Linux machine: network namespaces joined by a bridge, with a Ray node in each.

    with Hosts(workers=2) as hosts:
        program = hosts.head.start([sys.executable, "train.py", hosts.address])
        hosts.workers[0].cut_off()
        seeing = {"/data": "/nothing"}
        added = hosts.add(labels={"role": "loader"}, seeing=seeing, link=SlowLink(0.02, 1e8))
        hosts.drain(added)

Each host has its own address, and its processes can reach only the other hosts. The hosts share the
machine's memory and files, except Ray's folder and the paths in a host's `seeing`. This needs root
(CAP_NET_ADMIN and CAP_SYS_ADMIN) and the program `ip` of iproute2.

Ray looks for its node among the machine's processes, and finds the head's node. So a program on
another host must name its own node: `ray.init(address, _node_ip_address=host.ip)`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from cluster.slow_link import SlowLink

_PORT = 6379
# Jumbo frames: a slow link in Python carries few frames per second, so they must be large.
_MTU = 9000
_STORE_BYTES = 200_000_000
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 20.0

# A program that runs on the head, and executes each line of its input. Connecting to Ray takes more
# than a second, so one process answers all questions.
_ANSWERS = """
import sys, time
import ray
from ray.scripts.scripts import cli

answers, sys.stdout = sys.stdout, sys.stderr
address = sys.argv[1]
ray.init(address=address, log_to_driver=False, logging_level=40)

def live():
    return {n["NodeManagerAddress"]: n["NodeID"] for n in ray.nodes() if n["Alive"]}

for line in sys.stdin:
    exec(line)
    print("done", file=answers, flush=True)
"""


class CannotMakeHosts(RuntimeError):  # noqa: N818 - it is no fault of a program
    """The machine or the user cannot make network namespaces."""


class Host:
    """A host in its own network namespace. `number` counts from 1, the head; `ip` is its address.

    `seeing` maps a path to another file or folder, which this host sees there instead. The host's
    packets pass through `link`, if given.
    """

    def __init__(
        self,
        hosts: Hosts,
        number: int,
        seeing: Mapping[str, str] | None = None,
        link: SlowLink | None = None,
    ) -> None:
        self.ip = f"{hosts.network}.{number}"
        self.namespace = f"{hosts.name}-{number}"
        self._outer = f"{hosts.name}o{number}"
        self._tmp = hosts.folder
        self._seeing = dict(seeing or {})
        for path in (*self._seeing, *self._seeing.values()):
            os.stat(path)
        self._started: list[subprocess.Popen[str]] = []
        self._relay: subprocess.Popen[str] | None = None
        try:
            self._make(hosts.name, f"{hosts.name}i{number}", link)
        except BaseException:
            self._unmake()
            raise

    def _make(self, bridge: str, inner: str, link: SlowLink | None) -> None:
        _ip(f"netns add {self.namespace}")
        if link is None:
            _ip(f"link add {self._outer} type veth peer name {inner}")
        else:
            self._relay = link.start(self._outer, inner)
        _ip(f"link set {inner} netns {self.namespace}")
        _ip(f"link set {self._outer} mtu {_MTU} master {bridge} up")
        _ip(f"-n {self.namespace} addr add {self.ip}/24 dev {inner}")
        _ip(f"-n {self.namespace} link set {inner} mtu {_MTU} up")
        _ip(f"-n {self.namespace} link set lo up")

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program on this host; `options` are those of `subprocess.Popen`."""
        mounts = [["mount", "--bind", other, path] for path, other in self._seeing.items()]
        script = " && ".join([*map(shlex.join, mounts), shlex.join(["exec", *command])])
        # `ip netns exec` has its own mounts, which other processes do not see.
        inside = ["ip", "netns", "exec", self.namespace, "sh", "-c", script]
        # The hosts can reach only each other, so Ray needs no token. With this RAY_TMPDIR, "auto"
        # means the Ray of these hosts, whatever else runs on the machine.
        env = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": self._tmp}
        process = subprocess.Popen(inside, text=True, env=env, start_new_session=True, **options)
        self._started.append(process)
        return process

    def cut_off(self) -> None:
        """Block all packets to and from this host."""
        _ip(f"link set {self._outer} down")

    def heal(self) -> None:
        """Let packets pass again."""
        _ip(f"link set {self._outer} up")

    def bytes_received(self) -> int:
        """Return how many bytes this host has received so far, including Ethernet headers."""
        # The bridge's end of the link sends everything that the host receives.
        return int(Path(f"/sys/class/net/{self._outer}/statistics/tx_bytes").read_text())

    def kill(self) -> None:
        """Kill every process on this host at once."""
        pids = self.pids()
        for pid in pids:
            _kill(pid)
        for process in self._started:
            process.wait(_END_TIMEOUT_S)
        _wait_for(
            lambda: not self.pids(), f"the end of the processes of {self.namespace}", _END_TIMEOUT_S
        )

    def pids(self) -> list[int]:
        """Return the ids of the processes on this host."""
        return [int(pid) for pid in _ip(f"netns pids {self.namespace}").split()]

    def remove(self) -> None:
        """Kill the host's processes and remove the host."""
        self.kill()
        self._unmake()

    def _unmake(self) -> None:
        # Deleting the namespace also deletes the link, but only after its last connections time
        # out.
        if self._relay is not None:  # This also removes the link's other end.
            with self._relay as relay:
                relay.kill()
        for command in (f"link del {self._outer}", f"netns del {self.namespace}"):
            with contextlib.suppress(RuntimeError):  # The link was not made.
                _ip(command)


class Hosts:
    """A head, which offers no CPU, and `workers` hosts of `cpus` CPUs, each with a Ray node.

    The attribute `workers` lists the hosts other than the head, including killed ones. With
    `dashboard`, the head accepts jobs at port 8265.
    """

    def __init__(self, workers: int = 2, cpus: int = 1, *, dashboard: bool = False) -> None:
        # Names and addresses contain the process id, since two programs may make hosts at the same
        # time.
        self.name = f"rb{os.getpid()}"
        self.network = f"10.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250}"
        self.address = f"{self.network}.1:{_PORT}"
        self._cpus = cpus
        self._num_made = 0
        self._hosts: list[Host] = []
        self._answering: subprocess.Popen[str] | None = None
        self.workers: list[Host] = []
        _make_bridge(self.name)
        self.folder = tempfile.mkdtemp(prefix="rb")
        try:
            self.head = self._add(
                "--head",
                f"--port={_PORT}",
                "--num-cpus=0",
                f"--temp-dir={self.folder}/ray",
                f"--include-dashboard={dashboard}",
                f"--dashboard-host={self.network}.1",
            )
            _wait_for(self._answers, "an answer of the head's Ray", _START_TIMEOUT_S)
            self.wait_for(*[self.start() for _ in range(workers)])
        except BaseException:
            self.close()
            raise

    def add(self, cpus: int | None = None, **options: Any) -> Host:
        """Start a host, with the `options` of `start`, and wait until it has joined."""
        host = self.start(cpus, **options)
        self.wait_for(host)
        return host

    def start(
        self,
        cpus: int | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, float] | None = None,
        seeing: Mapping[str, str] | None = None,
        link: SlowLink | None = None,
    ) -> Host:
        """Start a host, and return it before it has joined.

        `labels` and `resources` are Ray's; `seeing` and `link` are those of `Host`.
        """
        # If nodes shared a folder, two that start at the same time could take the same socket.
        own_folder = tempfile.mkdtemp(dir=self.folder)
        host = self._add(
            f"--address={self.address}",
            f"--num-cpus={self._cpus if cpus is None else cpus}",
            "--labels=" + ",".join(f"{name}={value}" for name, value in (labels or {}).items()),
            f"--resources={json.dumps(dict(resources or {}))}",
            seeing={f"{self.folder}/ray": own_folder, **(seeing or {})},
            link=link,
        )
        self.workers.append(host)
        return host

    def wait_for(self, *hosts: Host) -> None:
        """Wait until the head's Ray lists `hosts` among the live nodes."""
        ips = {host.ip for host in hosts}
        self._ask(f"while not live().keys() >= {ips}: time.sleep(0.02)")

    def drain(self, host: Host) -> None:
        """Tell Ray that `host` will leave: nothing new starts there; running programs continue."""
        self._ask(
            f"cli(['drain-node', '--address', address, '--node-id', live()[{host.ip!r}],"
            " '--reason', 'DRAIN_NODE_REASON_PREEMPTION', '--reason-message', 'an upgrade'],"
            " standalone_mode=False)"
        )

    def _ask(self, line: str) -> None:
        if self._answering is None:
            self._answering = self.head.start(
                [sys.executable, "-c", _ANSWERS, self.address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        asked, answers = self._answering.stdin, self._answering.stdout
        assert asked is not None
        assert answers is not None
        asked.write(line + "\n")
        asked.flush()
        is_answered, _, _ = select.select([answers], [], [], _START_TIMEOUT_S)
        if not (is_answered and answers.readline()):
            raise RuntimeError(f"cannot ask the Ray at {self.address}")

    def close(self) -> None:
        """Kill all processes of all hosts and remove the hosts; can be called twice."""
        if self._answering is not None:
            with self._answering as answering:
                answering.kill()
            self._answering = None
        while self._hosts:
            self._hosts.pop().remove()
        if self.name in _ip("-o link show type bridge"):
            _ip(f"link del {self.name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Hosts:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _add(
        self,
        *arguments: str,
        seeing: Mapping[str, str] | None = None,
        link: SlowLink | None = None,
    ) -> Host:
        self._num_made += 1
        host = Host(self, self._num_made, seeing, link)
        self._hosts.append(host)
        log = open(f"{self.folder}/{self._num_made}.log", "w")  # noqa: SIM115
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            f"--node-ip-address={host.ip}",
            f"--object-store-memory={_STORE_BYTES}",
            "--disable-usage-stats",
            *arguments,
        ]
        host.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        return host

    def _answers(self) -> bool:
        probe = f"import socket; socket.create_connection(({self.head.ip!r}, {_PORT}), 1)"
        asking = self.head.start([sys.executable, "-c", probe], stderr=subprocess.DEVNULL)
        return asking.wait(_START_TIMEOUT_S) == 0


def _make_bridge(name: str) -> None:
    try:
        _ip(f"link add {name} type bridge")
        _ip(f"link set {name} up")
    except OSError as error:
        raise CannotMakeHosts("the program `ip` is missing: install iproute2") from error
    except RuntimeError as error:
        raise CannotMakeHosts(
            f"cannot make network namespaces here, which needs root (CAP_NET_ADMIN): {error}"
        ) from error


def _ip(command: str) -> str:
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {command}: {done.stderr.strip()}")
    return done.stdout


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _wait_for(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.05)


@click.command()
@click.option("--workers", default=2, show_default=True, help="Number of hosts besides the head.")
@click.option("--cpus", default=1, show_default=True, help="CPUs that Ray may use on each host.")
def main(workers: int, cpus: int) -> None:
    """Run test hosts until Ctrl-C."""
    try:
        with Hosts(workers, cpus) as hosts:
            click.echo(f"Ray is at {hosts.address}; to run a program on the head:")
            click.echo(f"ip netns exec {hosts.head.namespace} python PROGRAM")
            click.echo("Ctrl-C removes the hosts.")
            signal.pause()
    except CannotMakeHosts as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("ended")


if __name__ == "__main__":
    main()
