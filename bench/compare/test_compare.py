"""Tests of what compare reads and computes: python3 -m unittest discover -s bench/compare. No root,
no network.
"""

import contextlib
import io
import os
import socket
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import arguments
import floors
import machine
import report
import ways as script
from floors import cost_of
from net import PREFIX, is_left_over
from process import Cpu, Process, cpu_of_stat, memory_of_status, until
from roles import Sizes, fluid_limit, role
from run import GIB, MIB, Run
from table import Column, Contestant, Outcome, Role
from tools import piece_hashes
from tracker import seeds_of_log

BURN = "import time\nwhile time.process_time() < 0.2: pass"


class Parsing(unittest.TestCase):
    def test_cpu_survives_names_with_parentheses_and_counts_children(self):
        fields = "S 1 1 1 0 -1 0 0 0 0 0 100 50 20 10 20 0 1 0 5"
        ticks = cpu_of_stat(f"42 (a) name) {fields}")
        self.assertEqual(ticks, cpu_of_stat(f"42 (plain) {fields}"))
        self.assertAlmostEqual(ticks.user / ticks.system, 120 / 60)

    def test_memory_is_told_apart(self):
        status = "Name:\tx\nRssAnon:\t    2048 kB\nRssFile:\t    1024 kB\nRssShmem:\t  512 kB\n"
        self.assertEqual(memory_of_status(status), (2 * MIB, MIB + MIB // 2))
        self.assertEqual(memory_of_status("Name:\tzombie\n"), (0, 0))

    def test_seeders_are_those_of_the_newest_status(self):
        def status(left):
            return ('{"event":"status","torrents":[{"peers":[{"address":"10.79.0.2:6881",'
                    f'"left":{left}}},{{"address":"10.79.0.3:1","left":9}}]}}]}}')
        self.assertEqual(seeds_of_log(""), set())
        self.assertEqual(seeds_of_log(status(5) + "\n"), set())
        self.assertEqual(seeds_of_log("\n".join([status(5), status(0), status(5)])), {"10.79.0.2"})

    def test_a_cost_line_becomes_seconds_for_a_gib(self):
        found = cost_of(f"noise\nCOST {GIB // 2} 1.0 0.5 0.25\n")
        self.assertEqual((found["wall"], found["cpu"], found["user"]), (1.0, 1.5, 1.0))
        self.assertIsNone(cost_of("Traceback"))

    def test_piece_hashes_are_cut_out_whole(self):
        self.assertEqual(piece_hashes(b"d4:infod6:pieces5:ab6:e7:privatei1eee"), b"ab6:e")
        self.assertIsNone(piece_hashes(b"d4:infodee"))

    def test_busy_time_is_that_of_programs(self):
        per_s = machine.os.sysconf("SC_CLK_TCK")
        used, stolen = machine.busy(f"cpu  {per_s} 0 {per_s} 999 999 0 {per_s} {3 * per_s} 0 0\n")
        self.assertEqual((used, stolen), (2.0, 3.0))

    def test_only_names_of_ended_runs_are_left_over(self):
        self.assertFalse(is_left_over(f"{PREFIX}{machine.os.getpid()}-switch"))
        self.assertTrue(is_left_over(f"{PREFIX}4999999-switch"))
        self.assertFalse(is_left_over("4999999-switch"))


class Arguments(unittest.TestCase):
    def test_sizes_are_whole_mib(self):
        self.assertEqual(arguments.size("1.5GiB"), 1536 * MIB)
        for text in ("1", "1.5MiB", "GiB", "-1GiB", "0MiB", "1GB"):
            with self.assertRaises(arguments.argparse.ArgumentTypeError, msg=text):
                arguments.size(text)

    def test_quick_yields_to_what_is_said(self):
        options = arguments.parse(["--quick", "--size", "2GiB", "--clients", "aria2"])
        self.assertEqual((options.runs, options.sizes.pair), (1, 2 * GIB))
        self.assertEqual(options.clients, ["ours", "aria2"])
        self.assertEqual(options.warm, GIB)
        self.assertIsNone(arguments.parse([]).warm)
        self.assertEqual(arguments.parse(["--quick", "--warm", "none"]).warm, 0)

    def test_strange_names_are_refused(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            arguments.parse(["--only", "leech,sed"])


class Statistics(unittest.TestCase):
    def setUp(self):
        rows = [Contestant("ours", None), Contestant("a", None, True), Contestant("b", None, True)]
        self.role = Role("leech", "title", (Column("wall", "wall s", ratio=True),), rows)

    @staticmethod
    def round(**walls):
        return {name: Outcome(figures={"wall": wall}) if isinstance(wall, float) else Outcome(wall)
                for name, wall in walls.items()}

    def test_ratios_are_to_the_best_rival_of_the_same_round(self):
        rounds = [self.round(ours=1.0, a=2.0, b=4.0), self.round(ours=9.0, a=9.0, b=3.0),
                  self.round(ours=2.0, a=8.0, b=9.0)]
        rows = report.summary(self.role, rounds)["rows"]
        # 1/2, 9/3 and 2/8: the median of the ratios, not the ratio of the medians (2/8).
        self.assertEqual(rows[0]["ratios"]["wall"], 0.5)
        self.assertEqual(rows[0]["medians"]["wall"], 2.0)

    def test_who_does_not_finish_is_a_row_with_a_word(self):
        word = "did not finish in 5 s"
        rounds = [self.round(ours=1.0, a=word, b=4.0), self.round(ours=1.0, a=word, b=2.0)]
        table = report.summary(self.role, rounds)
        self.assertEqual((table["rows"][1]["good"], table["rows"][1]["runs"]), (0, 2))
        self.assertEqual(table["rows"][0]["ratios"]["wall"], (0.25 + 0.5) / 2)
        text = report.render(self.role, table)
        self.assertEqual(text.count(f"a: {word}"), 2)
        self.assertRegex(text, r"\na +0/2 +- +-")

    def test_without_a_rival_there_is_no_ratio(self):
        table = report.summary(self.role, [self.round(ours=1.0, a="gone", b="gone")])
        self.assertEqual(table["rows"][0]["ratios"], {})
        self.assertRegex(report.render(self.role, table), r"\nours +1/1 +1\.00 +-\n")

    def test_the_fluid_limit_is_the_narrowest_way(self):
        # 20 Mbit/s are 2.5 MB/s. With equal uploads the seeder's own is the narrower for any crowd.
        self.assertAlmostEqual(fluid_limit(25_000_000, 1, 20), 10.0)
        self.assertAlmostEqual(fluid_limit(25_000_000, 200, 20), 10.0)

    def test_the_disk_holds_all_contents_and_the_most_copies(self):
        sizes = Sizes(pair=10, swarm=4, shaped=2, create=30, leechers=8, up_mbit=20)
        self.assertEqual(sizes.disk(["leech", "seed"]), 10 + 10)
        self.assertEqual(sizes.disk(["leech", "swarm", "shaped", "create"]), 46 + 32)
        self.assertIsNone(machine.disk_refusal("/", -GIB))
        self.assertIn("--only", machine.disk_refusal("/", 1 << 60))

    def test_every_role_has_ours_and_marks_rivals(self):
        found = {"ours": "1", "aria2": "1", "mktorrent": "1"}
        sizes = Sizes(MIB, MIB, MIB, MIB, 2, 20.0)
        for name, rivals in [("leech", {"aria2"}), ("seed", {"aria2"}), ("swarm", {"aria2"}),
                             ("shaped", {"aria2"}), ("create", {"mktorrent"}),
                             ("check", {"aria2"})]:
            rows = role(name, None, sizes, found).contestants
            self.assertEqual({row.name for row in rows if row.is_rival}, rivals, name)
            self.assertEqual(rows[0].name, "ours", name)

    def test_ways_are_those_that_the_script_knows(self):
        rows = floors.ways(None, MIB)
        known = {("send", way) for way in script.SENDING}
        known |= {("receive", way) for way in script.RECEIVING}
        self.assertEqual({row.run.args[2:] for row in rows}, known)

    def test_every_way_moves_all_bytes(self):
        content = os.urandom(3 * MIB + 12_345)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            source.write_bytes(content)
            for way, send in script.SENDING.items():
                here, there = connected()
                got = []
                reader = threading.Thread(target=lambda: got.append(there.makefile("rb").read()))
                reader.start()
                with open(source, "rb", buffering=0) as file, here:
                    send(here, file, len(content))
                here.close()
                reader.join()
                there.close()
                blocks = range(0, len(content), script.BLOCK)
                framed = b"".join(script.HEAD + content[at:at + script.BLOCK] for at in blocks)
                self.assertEqual(got[0], framed, way)
            for way, receive in script.RECEIVING.items():
                here, there = connected()
                begins = script._pieces(len(content))
                stream = b"".join(content[at:at + script.PIECE] for at in begins)
                writer = threading.Thread(target=there.sendall, args=(stream,))
                writer.start()
                with open(target, "w+b", buffering=0) as file, here:
                    receive(here, file, len(content))
                writer.join()
                there.close()
                self.assertEqual(target.read_bytes(), content, way)


def connected():
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


class Processes(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def start(self, *argv):
        process = Process(argv, self.folder, self.folder / "log")
        self.addCleanup(process.stop)
        return process

    def test_the_time_of_children_is_counted_before_and_after_the_end(self):
        # The shell itself does next to nothing.
        process = self.start(
            "sh", "-c", f"'{sys.executable}' -c '{BURN}'; echo burnt; exec sleep 1000")
        self.assertTrue(until(lambda: "burnt" in process.said(), 60))
        self.assertGreaterEqual(sum(process.cpu()), 0.15)
        self.assertIsNone(process.exit_code())
        self.assertGreaterEqual(sum(process.stop()), 0.2)
        self.assertEqual(process.exit_code(), -15)

    def test_an_end_is_seen_with_its_code_and_last_words(self):
        process = self.start("sh", "-c", "echo first; echo last; exit 3")
        self.assertEqual(process.wait(60), 3)
        self.assertEqual(process.last_words(), "last")
        self.assertEqual(process.stop(), process.cpu())

    def test_who_does_not_end_is_told_from_who_does(self):
        process = self.start("sleep", "1000")
        self.assertIsNone(process.wait(0.05))
        self.assertFalse(until(lambda: False, 0.05, [process]))
        self.assertGreater(process.anonymous + process.mapped, 0)

    def test_differences_are_never_negative(self):
        self.assertEqual(Cpu(1.0, 2.0).minus(Cpu(0.5, 3.0)), Cpu(0.5, 0.0))

    def test_one_wrong_byte_is_another_content(self):
        run = Run(self.folder, None)
        content = run.content(2 * MIB)
        self.assertTrue(run.copy_is_good(content.parent, 2 * MIB))
        copy = self.folder / content.name
        self.assertFalse(run.copy_is_good(self.folder, 2 * MIB), "there is none")
        data = bytearray(content.read_bytes())
        copy.write_bytes(data)
        self.assertTrue(run.copy_is_good(self.folder, 2 * MIB))
        data[-1] ^= 1
        copy.write_bytes(data)
        self.assertFalse(run.copy_is_good(self.folder, 2 * MIB))


if __name__ == "__main__":
    unittest.main()
