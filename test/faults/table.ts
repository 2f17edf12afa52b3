/** Prints the detection table: `bun test/faults/table.ts`. Exits 1 if anything was missed or misnamed. */
import { CLIENT_FAULTS } from "./clients.ts";
import { detect, detectAtListener, detectByClients } from "./detect.ts";
import { FAULTS } from "./faults.ts";
import { LISTENER_FAULTS } from "./listeners.ts";

let missed = 0;
const row = (name: string, over: string, cls: string, injected: number, found: number, others: number) => {
  if (found !== injected || others !== 0) missed++;
  console.log(`| ${name} | ${over} | ${cls} | ${injected} | ${found} | ${others} |`);
};

console.log("| fault | over | class | injected | found | false alarms |\n|---|---|---|--:|--:|--:|");
for (const [name, fault] of Object.entries(FAULTS)) {
  for (const transport of fault.transports) {
    let [injected, found, others] = [0, 0, 0];
    for (const kind of fault.kinds) {
      const detection = await detect(fault, transport, kind);
      injected += detection.injected;
      found += detection.found;
      others += detection.result.failed - detection.found;
      if (detection.received.length !== detection.result.started) missed++;
    }
    row(name, `${transport} (${fault.kinds.join(", ")})`, fault.class, injected, found, others);
  }
}
for (const [name, fault] of Object.entries(LISTENER_FAULTS)) {
  const { injected, found, result } = await detectAtListener(fault);
  row(name, name.startsWith("TCP") ? "tcp" : "unix", fault.class, injected, found, result.failed - found);
}
for (const [name, fault] of Object.entries(CLIENT_FAULTS))
  for (const transport of fault.transports) {
    const { started, failed, failures } = await detectByClients(fault, transport);
    const found =
      failures.find((f) => f.class === fault.found?.class && f.phase === fault.found.phase)?.count ?? 0;
    const injected = fault.found ? started : 0;
    row(name, `${transport} (${fault.kind})`, fault.found?.class ?? "none", injected, found, failed - found);
  }
console.log(missed === 0 ? "\nall found" : `\n${missed} rows are wrong`);
process.exit(missed === 0 ? 0 : 1);
