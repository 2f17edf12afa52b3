/** That the attacks are made by whom they say: a harness that runs all as root would prove nothing. */
import { describe, expect, test } from "bun:test";
import { lstatSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { PYTHON } from "../setup/places.ts";
import { APP, ground, hasPeople, pythonAs, runAs, SERVER, STRANGER } from "./people.ts";

describe.skipIf(!hasPeople)("the people of the threat model", () => {
  test.each([
    ["the command's user", APP],
    ["the stranger", STRANGER],
  ])("%s has its own uid, no group of root's, and no rights over root's files", (_, person) => {
    using place = ground();
    const id = "import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())";
    expect(pythonAs(person, id)).toBe(`${person.uid} ${person.uid} ${person.gid} []`);
    const secret = place.file("secret", { uid: 0, gid: 0 }, "s3cret", 0o600);
    expect(runAs(person, ["cat", secret])).toMatchObject({ exitCode: 1, stdout: "" });
  });

  test("root's hupwatch runs the server as the command's user, and everybody reaches it", async () => {
    using place = ground();
    const server = place.file("server.py", APP, SERVER);
    const socket = `${place.path}/app.sock`;
    const options = ["-k", "--user", "nobody", "--socket-mode", "0666", "--ready", "http"];
    await using hupwatch = await startHupwatch([...options, "-b", `unix:${socket}`, "--", PYTHON, server], {
      cwd: place.path,
    });
    const ask = `import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n"); print(s.recv(999)[-1:])`;
    expect(pythonAs(STRANGER, ask, socket)).toBe("b'1'");
    expect(lstatSync(socket).mode & 0o777).toBe(0o666);
    const uids = hupwatch.tree().map(({ uid }) => uid);
    expect(uids.includes(APP.uid)).toBe(true);
    expect(uids.includes(0)).toBe(true);
  });
});
