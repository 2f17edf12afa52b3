/** The sender's side of sd_notify(3), against a real datagram socket. */
import { expect, test } from "bun:test";
import { notifierOf } from "../../src/os/sd-notify.ts";
import { NotifyReceiver } from "../harness/notify-receiver.ts";
import { tempDir } from "../harness/temp-dir.ts";

test("a line break in a text begins no assignment of its own", () => {
  using dir = tempDir();
  using systemd = new NotifyReceiver(`${dir.path}/notify`);
  notifierOf(systemd.path)?.("RELOADING=1", "STATUS=rolled back:\nREADY=1");
  expect(systemd.messages).toEqual(["RELOADING=1\nSTATUS=rolled back:\\nREADY=1\n"]);
});

test("nobody to tell: no notifier, and one that is gone is no trouble", () => {
  expect(notifierOf(undefined)).toBeUndefined();
  expect(notifierOf("relative/path")).toBeUndefined();
  expect(() => notifierOf("/no/such/socket")?.("READY=1")).not.toThrow();
});
