/** Starts the programs of this room, each of which loads only what it needs. */

/**
 * `keep DOOR PATH CONNECTION MEMORY` and `exec ORDER ANSWER`: all of them numbers of descriptors but the path. `try` says what forbids
 * interception here. `take` makes the call that may end it, and takes nothing. `relay ORDERS NEWS` is that of kept/.
 */
export async function enter([word, ...rest]: readonly string[]): Promise<void> {
  if (word === "exec") {
    const { becomeCommand } = await import("./become-command.ts");
    becomeCommand(Number(rest[0]), Number(rest[1]));
  }
  if (word === "try") {
    (await import("./trial.ts")).tryInterception();
    return;
  }
  if (word === "take") {
    (await import("../os/take-descriptor.ts")).takeDescriptor(process.pid, -1);
    return;
  }
  if (word === "relay") {
    await takeName("RELAY");
    process.chdir("/");
    new (await import("../kept/relay.ts")).Relay(Number(rest[0]), Number(rest[1])).run();
    return;
  }
  await takeName("KEEPER");
  const { Keeper } = await import("./keeper.ts");
  const [door, path, connection, memory] = rest;
  process.chdir("/");
  new Keeper({
    door: door === "-" || path === undefined ? undefined : { fd: Number(door), path },
    connection: Number(connection),
    memory: Number(memory),
  }).run();
}

async function takeName(which: "KEEPER" | "RELAY"): Promise<void> {
  const names = await import("../os/process-names.ts");
  names.takeName(names[which]);
}

// No await up here: bytecode is for CommonJS.
if (import.meta.main) void enter(process.argv.slice(2));
