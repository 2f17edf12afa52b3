/**
 * With -k nothing outlives hupwatch, kill -9 included. The kernel ends the command's first process (PR_SET_PDEATHSIG) and
 * no other one: the death signal is not inherited by children. So a small shell waits at a pipe that only hupwatch has
 * open, and ends the rest: each generation's process group, and every process that left it but carries the generation's marks.
 */
import { writeSync } from "node:fs";
import { isStarted, type Snapshot } from "../generation/record.ts";
import { close, pipe, setBlocking } from "../os/libc.ts";
import { lineOf } from "../os/marks.ts";
import { startOwn } from "../os/spawn.ts";

/**
 * Each line names the leaders of all generations that are not gone, so that none of these numbers can be a stranger's: a
 * group's number is not given out again while a process is in it. A process that forks meanwhile is met in the next round.
 */
const SCRIPT = `
trap '' HUP INT TERM
leaders=
while read -r line; do leaders=$line; done
exec 2>/dev/null
for round in 1 2 3 4 5 6 7 8 9; do
  for leader in $leaders; do kill -9 "-$leader"; done
  found=
  for environment in $(printf '%s\\0' /proc/[0-9]*/environ | xargs -0 grep -lzxF -e "$1"); do
    grep -qzxF -e "$2" "$environment" || continue
    pid=\${environment#/proc/}
    kill -9 "\${pid%/environ}" && found=yes
  done
  [ "$found" ] || break
done`;

export interface Guard {
  /** After every change: what is to end with us. */
  record(snapshot: Snapshot): void;
  /** Nothing is left to guard. Without it, also when this process merely exits, the guard does its work. */
  dismiss(): void;
}

/** Throws where there is no pipe or process to be had. */
export function startGuard(name: string, pid: number, env: Record<string, string>): Guard {
  const { read, write } = pipe();
  try {
    const words = [
      "/bin/sh",
      "-c",
      SCRIPT,
      "hupwatch-guard",
      lineOf("hupwatchPid", pid),
      lineOf("name", name),
    ];
    const shell = startOwn(words, { env, stdio: [read, "ignore", "ignore"] });
    setBlocking(write, "nonblocking");
    let told = "";
    return {
      record({ generations }) {
        const leaders = generations.filter(isStarted).map((g) => g.pid);
        const line = `${leaders.join(" ")}\n`;
        if (line === told) return;
        try {
          writeSync(write, line);
          told = line;
        } catch {
          // It was ended or stopped: the kernel's part of the promise still holds.
        }
      },
      dismiss: () => void shell.kill("SIGKILL"),
    };
  } catch (error) {
    close(write);
    throw error;
  } finally {
    close(read);
  }
}
