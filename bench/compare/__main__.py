"""bench/compare: Shoal beside other clients on this machine, each unmodified and in a network
namespace of its own.
"""

import sys

sys.dont_write_bytecode = True
if sys.version_info < (3, 10):
    sys.exit("compare: needs Python 3.10 or newer")

import contextlib
import json
import os
import shutil
import signal
import tempfile

import arguments
import machine
import report
import roles
from clients import CLIENTS, Ours
from net import NetError
from run import PREFIX, Run, sweep
from tools import mktorrent_version


def tell(text):
    """What goes on, for people; the tables alone go to standard output."""
    print(f"compare: {text}", file=sys.stderr, flush=True)


def find(wanted):
    """Names and versions of what is here, and what is not with what would bring it."""
    found, missing = {}, {}
    for name in wanted:
        if name == "mktorrent":
            version, source = mktorrent_version(), "apt-get install mktorrent"
        else:
            version, source = CLIENTS[name].version(), CLIENTS[name].source
        if version:
            found[name] = version
        else:
            missing[name] = source
    return found, missing


def refusal(options, found, missing):
    """Why nothing can be compared here, None when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root: run it as root, for example with sudo -E"
    if not shutil.which("ip"):
        return "`ip` is missing: apt-get install iproute2"
    if "shaped" in options.only and not shutil.which("tc"):
        return "`tc` is missing, and the role `shaped` needs it: apt-get install iproute2"
    if "ours" not in found:
        return f"no {Ours.binary()}: cargo build --release, or name another binary in SHOAL_BIN"
    lacking = [name for name in options.require if name in missing or name not in found]
    if lacking:
        return "required and not found: " + ", ".join(
            f"{name} ({missing.get(name, 'not among --clients')})" for name in lacking)
    return machine.disk_refusal(options.dir, options.sizes.disk(options.only))


def compare(role, options):
    """All rounds of one role, its contestants in turn."""
    rounds = []
    for number in range(options.runs):
        outcomes = {}
        for contestant in role.contestants:
            outcome = contestant.run()
            outcomes[contestant.name] = outcome
            figure = outcome.figures.get(role.columns[0].key)
            said = f"{role.columns[0].title} {figure:.2f}" if figure is not None else outcome.word
            tell(f"{role.name} {number + 1}/{options.runs}: {contestant.name}: {said}")
        rounds.append(outcomes)
    return rounds


def measure(options, found):
    """Every role, in a folder that is removed whatever happens."""
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=options.dir)
    try:
        run, tables = Run(folder, options.limit), []
        for name in options.only:
            role = roles.role(name, run, options.sizes, found)
            table = report.summary(role, compare(role, options))
            tables.append(table)
            if not options.json:
                print(report.render(role, table), end="\n\n", flush=True)
        return tables
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def header(facts, found, missing):
    """The lines above the tables."""
    lines = [f"{facts['cpu']}, {facts['cpus']} cores, Linux {facts['kernel']},"
             f" {facts['memory_available'] / machine.GIB:.1f} GiB of memory available,"
             f" files on {facts['file_system']}, load average {facts['load_average']}"]
    lines += [f"  {name}: {version}" for name, version in found.items()]
    lines += [f"  {name}: NOT FOUND, so not compared ({source})"
              for name, source in missing.items()]
    return "\n".join([*lines, report.LEGEND, ""])


def warm(options):
    """Touches memory as the options say."""
    if options.warm != 0:
        size, seconds = machine.warm(options.warm)
        tell(f"touched {size / machine.GIB:.1f} GiB of memory in {seconds:.1f} s")


def main():
    """The exit status: 0 all runs were good, 1 some were not, 2 it could not begin."""
    options = arguments.parse()
    found, missing = find(options.clients)
    why = refusal(options, found, missing)
    if why:
        tell(why)
        return 2
    for name, source in missing.items():
        tell(f"{name} was NOT FOUND and is not compared ({source})")
    swept = sweep(options.dir)
    if swept:
        tell(f"a run was killed, so removed what it left: {', '.join(swept)}")
    facts = machine.describe(options.dir)
    if not options.json:
        print(header(facts, found, missing), flush=True)
    warm(options)
    others = machine.Others()
    tables = measure(options, found)
    facts["others_share"], facts["steal_share"] = others.shares()
    if options.json:
        print(json.dumps({"machine": facts, "clients": found, "missing": missing,
                          "tables": tables}))
    else:
        print(report.footer(facts))
    bad = any(row["words"] for table in tables for row in table["rows"])
    return 1 if bad else 0


def interrupted(number, _frame):
    """The end, by the way that cleans up; a second signal does not cut that short."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    tell(f"{signal.Signals(number).name}: cleaning up")
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
    with contextlib.suppress(BrokenPipeError):
        try:
            sys.exit(main())
        except (NetError, OSError, RuntimeError) as error:
            tell(str(error))
            sys.exit(2)
