"""A real SLURM on this machine: two nodes, each with two processors and two fake GPUs.

By hand, as root, with the Debian packages slurm-wlm and munge; Ctrl-D stops it:

    python tests/slurm/cluster.py

The process that starts the daemons waits for the end of its standard input and then stops them. So
they end with the tests in whatever way these end, by SIGKILL too.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

CONFIGURATION = Path("/etc/slurm")  # where jobs look, in which the executor unsets SLURM_CONF
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
COMMANDS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo", "munged")
DAEMONS = ("slurmctld", "slurmd", "slurmdbd")
PREFIX = "ddcnn-slurm-"
NODES = ("n1", "n2")
GPUS = 2

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/pids/slurmctld
SlurmdPidFile={folder}/pids/slurmd-%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
ReturnToService=2
SlurmdTimeout=5
KillWait=5
MinJobAge=600
GresTypes=gpu
"""
NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
    f"CPUs=2 RealMemory=64000 Gres=gpu:{GPUS}\n"
)
PARTITION = "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"


def reason_against() -> str | None:
    """Why no cluster can or may be started here; None if one can."""
    for path in map(CONFIGURATION.joinpath, FILES):
        if os.path.lexists(path) and not _is_left_over(path):
            return f"this machine has a SLURM of its own, or another test has one: {path} exists"
    if "SLURM_CONF" in os.environ:
        return f"this machine has a SLURM of its own: SLURM_CONF={os.environ['SLURM_CONF']}"
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in DAEMONS:
            return f"a SLURM runs on this machine: {process.info['name']}, process {process.pid}"
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return f"SLURM is not installed ({missing[0]} is missing; Debian: slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "SLURM's daemons need root"


def _is_left_over(path: Path) -> bool:
    """True for a link of an earlier cluster whose folder is gone."""
    target = path.readlink() if path.is_symlink() else path
    return not path.exists() and PREFIX in str(target)


def free_ports(number: int) -> list[int]:
    """TCP ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write_configuration(folder: Path) -> None:
    """The files below ``folder/etc``, and the device files that stand for GPUs."""
    host = socket.gethostname().split(".")[0]
    port, *node_ports = free_ports(1 + len(NODES))
    nodes = [NODE.format(node=n, host=host, port=p) for n, p in zip(NODES, node_ports, strict=True)]
    gpus = []
    for node in NODES:
        for number in range(GPUS):
            os.mknod(folder / f"dev/{node}-gpu{number}", 0o20666, os.makedev(1, 3))  # as /dev/null
        gpus.append(f"NodeName={node} Name=gpu File={folder}/dev/{node}-gpu[0-{GPUS - 1}]\n")
    slurm = SLURM_CONF.format(host=host, port=port, folder=folder)
    (folder / "etc/slurm.conf").write_text(slurm + "".join(nodes) + PARTITION)
    (folder / "etc/gres.conf").write_text("".join(gpus))
    (folder / "etc/cgroup.conf").write_text("CgroupAutomount=no\n")


def start(folder: Path) -> None:
    """Start munge, the controller and the nodes, and wait until the nodes are idle."""
    folder.chmod(0o755)
    for name in ("etc", "log", "state", "pids", "dev", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    write_configuration(folder)
    _start_munge(folder / "munge")
    CONFIGURATION.mkdir(exist_ok=True)
    for name in FILES:
        (CONFIGURATION / name).unlink(missing_ok=True)
        (CONFIGURATION / name).symlink_to(folder / "etc" / name)
    _run("slurmctld", "-c")
    for node in NODES:
        _run("slurmd", "-N", node)
    deadline = time.monotonic() + 60
    while len(_output("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) < len(NODES):
        if time.monotonic() > deadline:
            raise RuntimeError("the nodes did not come up:\n" + read_logs(folder))
        time.sleep(0.1)


def _start_munge(folder: Path) -> None:
    """With a key and a socket of its own; it refuses files that are not its user's."""
    folder.mkdir(mode=0o711)
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for path in (folder, key):
        shutil.chown(path, "munge", "munge")
    _run(
        *("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged"),
        *(f"--key-file={key}", f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
        *(f"--log-file={folder}/log", f"--seed-file={folder}/seed"),
    )


def stop(folder: Path) -> None:
    """Cancel all jobs, end what :func:`start` started, and remove the configuration."""
    if (CONFIGURATION / FILES[0]).resolve() == folder / "etc" / FILES[0]:
        subprocess.run(["scancel", "--user=root"], timeout=30, check=False)
        deadline = time.monotonic() + 10
        while steps(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        for node in NODES:
            kill_node(folder, node)
    for file in (folder / "pids/slurmctld", folder / "munge/pid"):
        end(file)
    for path in map(CONFIGURATION.joinpath, FILES):
        if path.is_symlink() and path.readlink().parent == folder / "etc":
            path.unlink()


def steps(folder: Path, *nodes: str) -> list[psutil.Process]:
    """The processes of SLURM that look after running jobs, of all nodes or of some."""
    logs = {f"{folder}/log/slurmd-{node}.log" for node in nodes or NODES}
    return [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"].startswith("slurmstepd") and _writes(process, logs)
    ]


def _writes(process: psutil.Process, logs: set[str]) -> bool:
    try:
        return any(file.path in logs for file in process.open_files())
    except psutil.Error:
        return False


def kill_node(folder: Path, node: str) -> None:
    """SIGKILL for the node's daemon and everything that runs there: the plug is pulled."""
    end(folder / f"pids/slurmd-{node}", kill=True)
    for step in steps(folder, node):
        for process in [step, *step.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def end(pid_file: Path, kill: bool = False) -> None:
    """End the daemon that wrote ``pid_file``, and wait for its end."""
    if not pid_file.is_file():
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text()))
        if not kill:
            process.terminate()
            deadline = time.monotonic() + 10
            while is_alive(process) and time.monotonic() < deadline:
                time.sleep(0.05)
        process.kill()
    pid_file.unlink(missing_ok=True)


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie, too: in a container nobody may collect it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read_logs(folder: Path) -> str:
    """What the daemons said."""
    return "\n".join(
        f"{path}:\n{path.read_text(errors='replace')}" for path in folder.glob("log/*.log")
    )


def _run(*command: str) -> None:
    # Daemons keep what they inherit: with the caller's pipe nobody would see its end.
    subprocess.run(
        command,
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def main() -> None:
    """Start, say where, wait for the end of the standard input, stop."""
    reason = reason_against()
    if reason:
        sys.exit(reason)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        start(folder)
        print(folder, flush=True)
        sys.stdin.read()
    finally:
        stop(folder)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
