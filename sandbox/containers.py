r"""The containers from outside: `make up` and `make down`; on Windows `py sandbox\containers.py up`.

Checks what Docker Compose needs, says what to do where something is missing, writes `.env`, and leaves the rest to
Compose and docker-compose.yaml. Nothing but Python 3.8 and its standard library: it runs before anything is installed.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".env"
WORK = ROOT / "work"
HOST = "127.0.0.1"
WINDOWS = os.name == "nt"

# `depends_on.required` came with Compose 2.20, `ps --format json` has its form since 2.21. What was run is 2.26.
OLDEST_COMPOSE = (2, 23)
# Megabytes of memory, as the engine reports them: a machine of 4 GB reports less than 4000.
LEAST_MEMORY, NEEDED_MEMORY, MEMORY_OF_PROFILES = 3000, 3800, 1000
# Megabytes of disk: for the images while they are built, and for what databases and logs grow into.
DISK_TO_BUILD, DISK_TO_RUN = 6000, 1000
IMAGE = "windtunnel:3.3.2"
WAIT_SECONDS = 600

PROFILES = ("celery", "observability")
# Part of the data from the first start on: another value does not open what is there.
DATABASES = ("POSTGRES_PASSWORD", "WAREHOUSE_PASSWORD", "READER_PASSWORD", "SOURCE_PASSWORD")
LASTING = (*DATABASES, "AIRFLOW_FERNET_KEY")
PASSWORDS = (*DATABASES, "REDIS_PASSWORD", "AIRFLOW_PASSWORD", "JUPYTER_TOKEN", "GRAFANA_PASSWORD")
KEYS = ("AIRFLOW_JWT_SECRET", "AIRFLOW_API_SECRET")
PORTS = {"AIRFLOW_PORT": 8080, "LAB_PORT": 8888, "GRAFANA_PORT": 3000, "PROMETHEUS_PORT": 9090}
PORT_OF = {
    "api-server": "AIRFLOW_PORT",
    "lab": "LAB_PORT",
    "grafana": "GRAFANA_PORT",
    "prometheus": "PROMETHEUS_PORT",
}
NAMES = (*PASSWORDS, *KEYS, "AIRFLOW_FERNET_KEY", "AIRFLOW_UID", *PORTS)
# Set anew at every start; left over in a shell, they would start half of a profile.
PER_START = ("AIRFLOW_EXECUTOR", "AIRFLOW_METRICS", "COMPOSE_PROFILES")

HEADER = b"""\
# For docker-compose.yaml, by sandbox/containers.py. Never overwritten: what you change here stays.
# The passwords are of this machine only: keep them to yourself.
"""
AGAIN = "and type the same again."


def fail(message, next_step):
    """Say what is wrong and what to do, and end."""
    sys.stdout.flush()
    sys.stderr.write(f"\ncontainers: {message}\nNext: {next_step}\n")
    sys.exit(1)


def note(text):
    """Say what is worth knowing, and go on."""
    sys.stdout.flush()
    sys.stderr.write(f"note: {text}\n")
    sys.stderr.flush()


def interrupted(text):
    """End after Ctrl-C."""
    sys.stdout.flush()
    sys.stderr.write(f"\ncontainers: stopped. {text}\n")
    sys.exit(130)


def typed(command, options=""):
    """How one of these commands is typed on this machine."""
    if WINDOWS:
        return rf"py sandbox\containers.py {command} {options}".strip()
    return f"make {command}" + (f" ARGS={shlex.quote(options)}" if options else "")


def last_lines(text, count=15):
    """The end of a text, indented."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join("    " + line for line in lines[-count:])


# --- .env ------------------------------------------------------------------------------------------


def reader():
    """The user and group of the reader's files: (50000, 0), the image's own, for root and where there are none."""
    if WINDOWS:
        return 50000, 0
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    behind_sudo = os.environ.get("SUDO_UID", "0"), os.environ.get("SUDO_GID", "0")
    if behind_sudo[0] != "0" and all(number.isdigit() for number in behind_sudo):
        return int(behind_sudo[0]), int(behind_sudo[1])
    return 50000, 0


def read_env():
    """What `.env` says, as {name: value}; {} when there is none."""
    try:
        text = ENV.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        fail(f"{ENV} is not text in UTF-8.", f"save it as UTF-8, or put it elsewhere, {AGAIN}")
    except OSError as error:
        fail(f"{ENV} cannot be read: {error.strerror}.", f"make it a file that you can read, {AGAIN}")
    values, lines = {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$", line)
        # After a quoted value, a comment may stand and nothing else.
        value = found and re.match(r"""(?:(['"])(.*?)\1\s*(?:#.*)?|([^'"].*)?)$""", found.group(2))
        if not value:
            fail(
                f"line {number} of {ENV} is not NAME=value.",
                f"mend the line, or put a # in front of it, {AGAIN}",
            )
        name = found.group(1)
        if name in lines and name in NAMES:
            fail(
                f"{name} stands twice in {ENV}, in lines {lines[name]} and {number}.",
                f"remove one of them, {AGAIN}",
            )
        lines[name] = number
        values[name] = value.group(2) or re.sub(r"(^|\s+)#.*", "", value.group(3) or "")
    return values


def check_values(values):
    """End at the first value of `.env` that the containers cannot run with."""

    def wrong(name, what, next_step):
        fail(f"{name} in {ENV} {what}.", f"{next_step}, {AGAIN}")

    for name in (*PASSWORDS, *KEYS, "AIRFLOW_FERNET_KEY"):
        if values.get(name) == "":
            wrong(name, "is empty", "give it a value, or remove the line and get a generated one")
    for name in (*PASSWORDS, *KEYS):
        if not re.fullmatch(r"[A-Za-z0-9_.~-]*", values.get(name, "")):
            # They stand in addresses, as in postgresql://user:password@host, and Compose replaces what follows a $.
            wrong(name, "may hold letters, digits and - _ . ~ only", "choose another value")
    if not is_fernet(values.get("AIRFLOW_FERNET_KEY")):
        wrong(
            "AIRFLOW_FERNET_KEY",
            "is not 32 bytes in URL-safe base64 (44 characters, the last one =)",
            "put the old key back, or remove the line and get a new one",
        )
    uid = values.get("AIRFLOW_UID", "50000")
    if not re.fullmatch(r"[0-9]{1,9}", uid):
        wrong("AIRFLOW_UID", f"is {uid!r}, not a number", f"set it to {reader()[0]}")
    if int(uid) == 0:
        wrong("AIRFLOW_UID", "is 0: these containers do not run as root", f"set it to {reader()[0] or 50000}")
    seen = {}
    for name, usual in PORTS.items():
        port = values.get(name, str(usual))
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            wrong(name, f"is {port!r}, not a port from 1 to 65535", f"set it to {usual}, for example")
        if int(port) in seen:
            wrong(name, f"is {port}, and so is {seen[int(port)]}", "give each a port of its own")
        seen[int(port)] = name


def is_fernet(keys):
    """Whether these are keys of Fernet, or nothing; of several, the first encrypts and all decrypt."""
    try:
        return all(
            len(base64.b64decode(key, b"-_", validate=True)) == 32 for key in (keys or "").split(",") if key
        )
    except ValueError:
        return False


def lacking(values):
    """Values for every name that `.env` does not have yet."""
    fresh = {name: secrets.token_hex(12) for name in PASSWORDS}
    fresh.update((name, secrets.token_hex(32)) for name in KEYS)
    fresh["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    fresh["AIRFLOW_UID"] = str(reader()[0])
    fresh.update((name, str(port)) for name, port in PORTS.items())
    return {name: fresh[name] for name in NAMES if name not in values}


def complete_env(added):
    """Close `.env` to others, add the names to it or make it, and say what was done."""
    with alone():
        # Read again: between the first look and this one, another start may have written them.
        if set(added).intersection(read_env()):
            written_meanwhile()
        close_and_write(added)


@contextlib.contextmanager
def alone():
    """One start at a time beyond this line, where folders can be locked; a killed start's lock ends with it."""
    handle = None
    try:
        import fcntl  # not on Windows

        handle = os.open(str(ROOT), os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except (ImportError, OSError):  # some file systems cannot; `appear` does not overwrite there either
        pass
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def written_meanwhile():
    """End: what this start read is not what is there now."""
    fail(f"another start wrote {ENV} at this moment.", "type the same again.")


def close_and_write(added):
    """What `complete_env` says, with nobody beside it."""
    existed = ENV.exists()
    if existed and not WINDOWS and ENV.stat().st_mode & 0o077:
        try:
            ENV.chmod(0o600)
        except OSError as error:
            fail(f"others can read {ENV}: {error.strerror}.", f"sudo chown {os.getuid()} {ENV}, {AGAIN}")
        if not ENV.stat().st_mode & 0o077:  # some file systems keep no modes
            note(f"others could read {ENV}. Its mode is 0600 now.")
    if added:
        write_env(added)
        what = (
            f"Added to {ENV}: {', '.join(added)}" if existed else f"Wrote {ENV}, with passwords of its own."
        )
        print(what)


def write_env(added):
    """Write old and new lines: the whole file is there afterwards, or what was there before."""
    target = Path(os.path.realpath(ENV))  # it may be a link
    temporary = None
    try:
        old = target.stat() if target.exists() else None
        text = target.read_bytes() if old else HEADER
        end = b"\r\n" if b"\r\n" in text else b"\n"
        if text and not text.endswith(b"\n"):
            text += end
        text += b"".join(f"{name}={value}".encode() + end for name, value in added.items())
        handle, name = tempfile.mkstemp(prefix=".env.", dir=str(target.parent))  # for its owner only
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not WINDOWS and os.getuid() == 0:
            owner = (old.st_uid, old.st_gid) if old else reader() if "SUDO_UID" in os.environ else (0, 0)
            os.chown(temporary, *owner)
        if old:
            temporary.replace(target)
        else:
            appear(temporary, target)
    except FileExistsError:
        written_meanwhile()
    except OSError as error:
        fail(
            f"{ENV} cannot be written: {error.strerror}.", f"make {ROOT} a folder that you can write, {AGAIN}"
        )
    finally:
        if temporary and temporary.exists():
            temporary.unlink()


def appear(temporary, target):
    """Give a new file its name, unless another start was faster."""
    if WINDOWS:
        temporary.rename(target)  # there it does not overwrite
        return
    try:
        os.link(str(temporary), str(target))
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        temporary.replace(target)


# --- Docker ----------------------------------------------------------------------------------------


def docker(*arguments, environment=None, seconds=60):
    """Ask docker something; what it says and how it ends is the caller's to judge."""
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=str(ROOT),
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        fail(
            f"`docker {' '.join(arguments[:2])}` did not answer within {seconds} seconds.",
            f"wait until Docker has started, or restart it, {AGAIN}",
        )
    except OSError as error:
        fail(f"`docker` cannot be run: {error.strerror}.", f"install Docker again, {AGAIN}")


def start_docker():
    """The next step where no engine answers."""
    if os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST is {os.environ['DOCKER_HOST']}: start the engine there, or unset it, {AGAIN}"
    if sys.platform.startswith("linux"):
        return (
            f"start it, {AGAIN} Docker Engine: sudo systemctl start docker. Docker Desktop: open it; within WSL, "
            "turn on the integration in its settings."
        )
    return f"open Docker Desktop, wait until it says that the engine is running, {AGAIN}"


def check_engine():
    """What `docker info` says, when there is an engine to use."""
    if not shutil.which("docker"):
        fail(
            "there is no `docker` on your PATH.",
            "install Docker Desktop, or on Linux Docker Engine with the Compose plugin "
            f"(https://docs.docker.com/get-docker/), {AGAIN} Without Docker, on Linux and macOS: make lab",
        )
    done = docker("info", "--format", "{{json .}}")
    try:
        info = json.loads(done.stdout)
    except ValueError:
        info = {}
    said = done.stderr.strip() or "\n".join(info.get("ServerErrors") or ()) or done.stdout.strip()
    if not info.get("ServerVersion") or done.returncode:
        if re.search(r"permission denied", said, re.I):
            fail(
                f"Docker is running, but you may not use it:\n{last_lines(said)}",
                f"sudo usermod -aG docker {os.environ.get('USER') or 'YOUR-NAME'}, log out and in again, {AGAIN} "
                "(Who is in that group can do what root can.)",
            )
        if re.search(
            r"cannot connect|failed to connect|error during connect|refused|not running", said, re.I
        ):
            fail(f"Docker is installed, but its engine is not running:\n{last_lines(said)}", start_docker())
        if not done.returncode:
            fail(
                "the `docker` on your PATH does not answer as Docker does.",
                f"install Docker Engine or Docker Desktop, {AGAIN} Others, such as Podman, were not tried.",
            )
        fail(f"`docker info` failed:\n{last_lines(said)}", start_docker())
    if info.get("OSType", "linux") != "linux":
        fail(
            "Docker runs Windows containers.", f"switch to Linux containers in Docker Desktop's menu, {AGAIN}"
        )
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        note(
            "this Docker runs without root, which was not tried: in its containers, you are another user. "
            "If work/ is read-only in JupyterLab: chmod -R g+rwX work"
        )
    return info


def check_compose():
    """End unless Compose is there and new enough."""
    done = docker("compose", "version", "--short")
    found = re.match(r"v?(\d+)\.(\d+)", done.stdout.strip())
    needed = "{}.{} or newer is needed".format(*OLDEST_COMPOSE)
    where = (
        f"it, {AGAIN} Docker Desktop: update it. Linux: sudo apt install docker-compose-plugin, from Docker's own "
        "repository (https://docs.docker.com/compose/install/linux/)"
    )
    if done.returncode or not found:
        fail(f"Docker has no Compose plugin: `docker compose version` failed; {needed}.", f"install {where}")
    if tuple(int(number) for number in found.groups()) < OLDEST_COMPOSE:
        fail(f"Docker Compose is {done.stdout.strip()}; {needed}.", f"update {where}")


def check_memory(info, profiles):
    """End if there is too little memory; say so if it may become too little."""
    here = info.get("MemTotal", 0) // 2**20
    extra = MEMORY_OF_PROFILES if profiles else 0
    options = " ".join(f"--{name}" for name in profiles)
    needed = f"{NEEDED_MEMORY + extra} MB" + (f" with {options}" if options else "")
    how = "use a machine with more"
    if "Docker Desktop" in info.get("OperatingSystem", ""):
        how = "give it more in Docker Desktop's settings under Resources (with WSL: memory= in .wslconfig)"
    if options:
        how += f", or leave out {options}"
    if here < LEAST_MEMORY + extra:
        fail(
            f"Docker has {here} MB of memory; it takes {needed}.", f"{how}, {AGAIN} Without Docker: make lab"
        )
    if here < NEEDED_MEMORY + extra:
        note(f"Docker has {here} MB of memory; it takes {needed}. Where containers end with code 137, {how}.")


def check_disk(info):
    """End if there is no room for the images or, where they are built, for the data."""
    place = Path(info.get("DockerRootDir") or "/nowhere")
    try:
        if not place.is_dir():
            place = ROOT  # Docker Desktop's disk is within a file that grows on this one
        free = shutil.disk_usage(str(place)).free // 2**20
    except OSError:
        return  # not for us to see
    built = docker("image", "inspect", "--format", "{{.Id}}", IMAGE).returncode == 0
    needed = DISK_TO_RUN if built else DISK_TO_BUILD
    if free < needed:
        what = "" if built else " to build the images"
        fail(
            f"the disk of {place} has {free} MB free; {needed} MB are needed{what}.",
            f"make room (`docker system df` shows what Docker holds), {AGAIN}",
        )


class Project:
    """What Compose makes of docker-compose.yaml, and the containers that are there."""

    def __init__(self, values, added):
        """Of the values in `.env`, and of those that are to be added."""
        self.values = {**values, **added}
        # To Compose, a variable of the shell counts more than `.env`: the next shell would have another password.
        self.environment = {k: v for k, v in os.environ.items() if k not in (*NAMES, *PER_START)}
        self.not_written = dict(added)
        for name in NAMES:
            if os.environ.get(name, self.values[name]) != self.values[name]:
                note(f"{name} is set in this shell too. What counts is {ENV}.")
        if not (ROOT / "docker-compose.yaml").is_file():
            fail(f"{ROOT} has no docker-compose.yaml.", f"git checkout docker-compose.yaml, {AGAIN}")
        done = self.ask("config", "--format", "json")
        if done.returncode:
            fail(
                f"Compose cannot use docker-compose.yaml:\n{last_lines(done.stderr)}",
                f"mend it (`git diff docker-compose.yaml` shows what was changed), {AGAIN}",
            )
        config = json.loads(done.stdout)
        services = config["services"]
        self.profiles = {name: service.get("profiles") or () for name, service in services.items()}
        self.once = {  # services that do their work and end
            name
            for service in services.values()
            for name, how in (service.get("depends_on") or {}).items()
            if how.get("condition") == "service_completed_successfully"
        }
        self.volumes = [volume["name"] for volume in (config.get("volumes") or {}).values()]

    def ask(self, *arguments):
        """Ask Compose something, about the services of all profiles."""
        environment = {**self.environment, **self.not_written}
        return docker("compose", "--profile", "*", *arguments, environment=environment)

    def run(self, *arguments, profiles=("*",), **variables):
        """Let Compose do something before the reader's eyes; returns its exit status."""
        sys.stdout.flush()
        chosen = [word for name in profiles for word in ("--profile", name)]
        environment = {**self.environment, **self.not_written, **variables}
        with subprocess.Popen(
            ["docker", "compose", *chosen, *arguments], cwd=str(ROOT), env=environment
        ) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # Ctrl-C reached Compose too. It ends by itself; killed, it would leave a build running.
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.terminate()
                raise

    def containers(self):
        """Every container of the project, running or not, as Compose describes it; none of another folder's."""
        done = self.ask("ps", "--all", "--format", "json")
        if done.returncode:
            fail(f"`docker compose ps` failed:\n{last_lines(done.stderr)}", start_docker())
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for container in found:
            label = re.search(r"\.project\.working_dir=(.*?)(?:,[\w.-]+=|$)", container.get("Labels") or "")
            if label and os.path.realpath(label.group(1)) != str(ROOT):
                elsewhere = Path(label.group(1))
                fail(
                    f"the containers of another copy of this folder are here: of {elsewhere}.",
                    f"there, type {typed('down')}; then here the same again."
                    if elsewhere.is_dir()
                    else f'docker compose --profile "*" down, {AGAIN}',  # it was moved or removed
                )
        return found

    def address(self, service):
        """Where a service answers on this machine; nothing if it is not published."""
        return f"http://{HOST}:{self.values[PORT_OF[service]]}" if service in PORT_OF else ""


def is_free(port):
    """Whether nobody listens on it."""
    with socket.socket() as probe:
        if not WINDOWS:  # there it would mean something else
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            if WINDOWS:  # it keeps ranges of ports for itself
                return False
        except OSError:
            return False
    with socket.socket() as probe:  # macOS lets one bind where another listens on all addresses
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) != 0


def check_ports(values, profiles, there):
    """End if a port to be published is held by anybody but these containers."""
    held = {port.get("PublishedPort") for found in there for port in found.get("Publishers") or ()}
    ours = {int(values[name]) for name in PORTS}
    for name in PORTS if "observability" in profiles else ("AIRFLOW_PORT", "LAB_PORT"):
        port = int(values[name])
        if port in held or is_free(port):
            continue
        other = next(
            (other for other in range(port + 1, 65536) if other not in ours and is_free(other)), 50080
        )
        where = f"set {name}={other} in {ENV}"
        if not ENV.exists():
            where = f"make a file {ENV} with the line {name}={other} (what it lacks is added)"
        fail(f"port {port} on {HOST} is taken by another program.", f"end that program, or {where}, {AGAIN}")


def check_work(uid):
    """Make `work/` and `work/dags/`; end if the containers could not write there."""
    empty = []
    try:
        for folder in (WORK, WORK / "dags"):
            if not folder.exists() or not any(folder.iterdir()):
                empty.append(folder)
                folder.mkdir(exist_ok=True)
    except OSError as error:
        fail(f"{WORK / 'dags'} cannot be made: {error.strerror}.", f"put away what stands there, {AGAIN}")
    if not sys.platform.startswith("linux"):
        return  # Docker Desktop shows the reader's files as the container's own
    mine, group = os.getuid(), reader()[1]
    for folder in (WORK, WORK / "dags"):
        if mine == 0 and folder in empty:
            os.chown(str(folder), uid, group)
        owner = folder.stat().st_uid
        if owner not in (uid, mine) or owner == mine == 0:
            fail(
                f"{folder} belongs to user {owner}; the containers are user {uid} and could not write there.",
                f"{'sudo ' if mine else ''}chown -R {uid}:{group} {WORK}, {AGAIN}",
            )
        if owner != uid:
            fail(
                f"{folder} is yours, of user {owner}; AIRFLOW_UID in {ENV} is {uid}, who could not write there.",
                f"set AIRFLOW_UID={owner} in that file, {AGAIN}",
            )


# --- commands --------------------------------------------------------------------------------------


def up(options):
    """Check everything, write `.env`, start the containers."""
    info = check_engine()
    check_compose()
    asked = [name for name in PROFILES if getattr(options, name)]
    check_memory(info, asked)
    values = read_env()
    check_values(values)
    added = lacking(values)
    project = Project(values, added)
    there = project.containers()
    stay = {profile for found in there for profile in project.profiles.get(found["Service"], ())}
    for name in sorted(stay.difference(asked)):
        note(f"--{name} stays from the last start. To be without it: {typed('down')}, then {typed('up')}")
    profiles = [name for name in PROFILES if name in asked or name in stay]
    check_ports(project.values, profiles, there)
    check_disk(info)
    lost = [name for name in LASTING if name in added]
    if lost and set(project.volumes).intersection(docker("volume", "ls", "--quiet").stdout.split()):
        fail(
            f"the data of an earlier start are here, but {ENV} does not have what they were made with: "
            f"{', '.join(lost)}.",
            f"put the old file back; or delete those data, which asks first: {typed('down', '--volumes')}",
        )
    check_work(int(project.values["AIRFLOW_UID"]))
    complete_env(added)
    project.not_written = {}

    print("Starting. The first time, images are fetched and built, which takes minutes and gigabytes.")
    try:
        status = project.run(
            *("up", "--detach", "--build", "--wait", "--wait-timeout", str(WAIT_SECONDS)),
            profiles=profiles,
            AIRFLOW_EXECUTOR="CeleryExecutor" if "celery" in profiles else "LocalExecutor",
            AIRFLOW_METRICS=str("observability" in profiles),
            COMPOSE_PROFILES=",".join(profiles),
        )
    except KeyboardInterrupt:
        interrupted(
            f"Containers that were started go on; {typed('down')} ends them. To go on: type the same again."
        )
    if status:
        explain(project, status)
    print("\nWindtunnel is up.")
    print(f"  JupyterLab  {project.address('lab')}/lab?token={project.values['JUPYTER_TOKEN']}")
    print(f"  Airflow     {project.address('api-server')}  admin, {project.values['AIRFLOW_PASSWORD']}")
    if "observability" in profiles:
        print(f"  Grafana     {project.address('grafana')}  admin, {project.values['GRAFANA_PASSWORD']}")
        print(f"  Prometheus  {project.address('prometheus')}")
    print(f"To stop it: {typed('down')} (what it holds is kept)")


def trouble(project, found):
    """What is wrong with a container after a start that failed, or nothing."""
    state, health, code = found.get("State"), found.get("Health"), found.get("ExitCode")
    if state == "exited" and (code or found["Service"] not in project.once):
        return f"ended with code {code}"
    if state in ("restarting", "dead"):
        return f"ends again and again, the last time with code {code}"
    if health == "unhealthy":
        return "is unhealthy"
    return "is not healthy yet" if health == "starting" else ""


def explain(project, status):
    """End after a start that failed, with the services to blame and the last lines of their logs."""
    found = {one["Service"]: trouble(project, one) for one in project.containers()}
    # Who is slow often waits for who failed.
    broken = {
        name: found[name]
        for name in sorted(found, key=lambda name: "not healthy yet" in found[name])
        if found[name]
    }
    ending = f"What was started goes on; {typed('down')} ends it."
    if not broken:
        fail(
            f"`docker compose up` failed with code {status}; what it said is above.",
            "if it could not reach a registry, check the network and Docker's proxy settings, and type the same "
            f"again: what was fetched is kept. {ending}",
        )
    message, logs = "", ""
    for service in list(broken)[:3]:
        done = project.ask("logs", "--no-color", "--no-log-prefix", "--tail", "15", service)
        log = last_lines(done.stdout + done.stderr)
        message += f"the service {service} {broken[service]}. Its log ends with:\n{log or '    (nothing)'}\n"
        logs += log
    for service in list(broken)[3:]:
        message += f"the service {service} {broken[service]}.\n"
    next_step = (
        f"docker compose logs {next(iter(broken))} shows all of it. When it is mended, type the same again."
    )
    if "password authentication failed" in logs:
        next_step = (
            f"the data were made with other passwords than those in {ENV}. Put the old file back; or delete those "
            f"data, which asks first: {typed('down', '--volumes')}"
        )
    elif any("code 137" in what for what in broken.values()):
        next_step = f"code 137 mostly means that memory ran out: give Docker more, {AGAIN}"
    fail(message.rstrip(), f"{next_step} {ending}")


def for_all_services():
    """The project for what starts nothing: a missing `.env` is no obstacle, and stays missing."""
    check_engine()
    check_compose()
    values = read_env()
    check_values(values)
    return Project(values, lacking(values))


def down(options):
    """Stop and remove the containers; their data too, where that is asked for and confirmed."""
    project = for_all_services()
    project.containers()  # another folder's are not ours to stop
    if options.volumes and not options.yes:
        confirm(
            f"This deletes the containers' data: {', '.join(project.volumes)}.\n"
            "All runs, the warehouse and the logs are lost. Your work/ and .env stay."
        )
    try:
        status = project.run("down", "--remove-orphans", *(["--volumes"] if options.volumes else []))
    except KeyboardInterrupt:
        interrupted("Some containers may still run. To end them: type the same again.")
    if status:
        fail(
            f"`docker compose down` failed with code {status}; what it said is above.",
            'type the same again. What is left: docker compose --profile "*" ps',
        )
    print(f"Windtunnel is down. Its data are {'deleted' if options.volumes else 'kept'}.")


def confirm(question):
    """Go on after a yes only."""
    if not sys.stdin.isatty():
        fail(
            f"{question}\nThat is asked first, and there is no terminal to ask on. Nothing was done.",
            f"if you mean it: {typed('down', '--volumes --yes')}",
        )
    print(question)
    try:
        answer = input("Type yes to go on: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        fail("nothing was stopped or deleted.", f"to stop it and keep the data: {typed('down')}")


def env(options):
    """Write or complete `.env`, and nothing else."""
    values = read_env()
    check_values(values)
    added = lacking(values)
    complete_env(added)
    if not added:
        print(f"{ENV} has all it needs.")


def status(options):
    """Print each service with its state, health and address."""
    project = for_all_services()
    rows = [("SERVICE", "STATE", "HEALTH", "ADDRESS")]
    for found in sorted(project.containers(), key=lambda found: found["Service"]):
        state = found["State"]
        address = project.address(found["Service"]) if state == "running" else ""
        state += f" ({found.get('ExitCode')})" if state == "exited" else ""
        rows.append((found["Service"], state, found.get("Health") or "-", address))
    if len(rows) == 1:
        print(f"Nothing is up. To start it: {typed('up')}")
        return
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    for row in rows:
        print("".join(row[column].ljust(widths[column]) for column in range(3)) + row[3])


def arguments():
    """The command line, read."""
    parser = argparse.ArgumentParser(
        prog="containers.py",
        description="Windtunnel in containers: a standard Airflow with JupyterLab, by Docker Compose.",
        epilog="With make: make up, make down, and options as in make up ARGS=--celery",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True

    def command(call, summary, description):
        added = commands.add_parser(call.__name__, help=summary, description=description)
        added.set_defaults(call=call)
        return added.add_argument

    option = command(
        up,
        "check what is needed, write .env, start the containers",
        "Check what is needed, write .env, build the image, start the containers, wait until all are healthy, and "
        "print their addresses. A profile, once started, stays with later starts until `down`.",
    )
    option(
        "--celery", action="store_true", help="CeleryExecutor: two workers, one for each queue, run the tasks"
    )
    option("--observability", action="store_true", help="Prometheus and Grafana beside it")
    option = command(
        down,
        "stop and remove the containers; data are kept",
        "Stop and remove the containers, those of the profiles too. Their data, work/ and .env are kept.",
    )
    option("--volumes", action="store_true", help="delete the data too; asks first")
    option("--yes", action="store_true", help="do not ask")
    command(
        env,
        "write .env, or add what it lacks",
        "Write .env for docker-compose.yaml, with passwords of its own and readable for you only, or add the names "
        "that it lacks. Values in it are never changed.",
    )
    command(
        status,
        "print each service with its state, health and address",
        "Print each service with its state, health and address.",
    )
    return parser.parse_args()


if __name__ == "__main__":
    if sys.version_info < (3, 8):  # noqa: UP036 - Windtunnel's own Python is newer, the machine's may not be
        fail(
            "Python {}.{} is too old; 3.8 or newer is needed.".format(*sys.version_info),
            "run it with a newer one: make up PYTHON=/path/to/python3",
        )
    try:
        chosen = arguments()
        chosen.call(chosen)
    except KeyboardInterrupt:
        interrupted("To go on: type the same again.")
