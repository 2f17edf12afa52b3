/** What the container's end tells: the command's own end, through hupwatch, as PID 1 and below another one. */
import { run } from "./command.ts";
import { LABEL } from "./container.ts";
import type { Extra } from "./grid.ts";
import { imageOf } from "./images.ts";

const CASES: readonly (readonly [command: string[], code: number])[] = [
  [["true"], 0],
  [["sh", "-c", "exit 7"], 7],
  [["sh", "-c", "kill -KILL $$"], 128 + 9],
  [["/etc/passwd"], 126],
  [["no-such-program"], 127],
];

export async function tryExitCodes(): Promise<Extra> {
  const name = "exit codes";
  const faults: string[] = [];
  for (const init of [[], ["--init"]])
    for (const [command, code] of CASES) {
      const words = ["run", "--rm", "--label", LABEL, ...init, imageOf("hupwatch"), ...command];
      const { code: got, stderr } = await run(["docker", ...words]);
      if (got !== code) faults.push(`${got}, not ${code}: docker ${words.join(" ")}\n${stderr}`);
    }
  if (faults.length > 0) return { name, outcome: { kind: "red", faults } };
  const codes = CASES.map(([, code]) => code).join(", ");
  return { name, outcome: { kind: "green", said: `${codes} as PID 1 and below --init` } };
}
