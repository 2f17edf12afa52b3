import { describe, expect, test } from "bun:test";
import { ResponseReader } from "../../src/http/response.ts";
import { KINDS, makePlan } from "../../src/load/plan.ts";
import { Requests } from "../../src/load/requests.ts";
import { parseTarget } from "../../src/load/target.ts";
import { RequestReader } from "../faults/request-reader.ts";
import { answer, contractBody } from "../faults/server.ts";

const plan = (target: string, given: Parameters<typeof makePlan>[1] = {}) =>
  makePlan(parseTarget(target, "/"), given);

/** What a server would read of the n-th request. */
function sent(requests: Requests, n: number) {
  const [request] = new RequestReader().push(requests.encode(n, requests.kindOf(n)));
  if (!request) throw new Error("not a complete request");
  return request;
}

describe("the bytes", () => {
  test("each request carries its own id, also with the largest number", () => {
    const requests = new Requests(plan("unix:/a"));
    for (const n of [0, 7, 123_456, 9_999_999_999]) expect(sent(requests, n).id).toBe(requests.idOf(n));
    expect(requests.idOf(42)).toMatch(/^[0-9a-f]{6}-0000000042$/);
  });

  test("method, path and connection of each kind", () => {
    const line = (mode: (typeof KINDS)[number], target = "unix:/a") => {
      const { method, url, close, body } = sent(new Requests(plan(target, { mode, slowMs: 20 })), 0);
      return [method, url, close, body.length];
    };
    expect(line("fresh")).toEqual(["GET", "/", true, 0]);
    expect(line("keepalive", "unix:/a:/x?y")).toEqual(["GET", "/x?y", false, 0]);
    expect(line("post")).toEqual(["POST", "/upload", false, 1024]);
    expect(line("slow")).toEqual(["GET", "/slow?ms=20", true, 0]);
    expect(line("upload")).toEqual(["POST", "/upload", true, 1024 * 1024]);
    expect(line("post", "unix:/a:/mine")).toEqual(["POST", "/mine", false, 1024]);
  });

  test("those that take their time ask for what takes it", () => {
    const line = (mode: (typeof KINDS)[number]) => {
      const own = plan("unix:/a", { mode, lingerMs: 1000, readBytes: 7 });
      const { method, url, close } = sent(new Requests(own), 0);
      return [method, url, close];
    };
    expect(line("late")).toEqual(["GET", "/", true]);
    expect(line("slow-send")).toEqual(["POST", "/upload", true]);
    expect(line("slow-read")).toEqual(["GET", "/big?bytes=7", true]);
    expect(line("half-close")).toEqual(["GET", "/", true]);
    expect(line("sse")).toEqual(["GET", "/stream?chunks=10&ms=100", true]);
    expect(line("websocket")).toEqual(["GET", "/ws", false]);
  });

  test("mix: the usual kinds, in one fixed order, the contract's paths", () => {
    const requests = new Requests(plan("unix:/a:/x", { mode: "mix", uploadBytes: 10 }));
    const kinds = Array.from({ length: 40 }, (_, n) => requests.kindOf(n));
    expect(new Set(kinds)).toEqual(new Set(KINDS.slice(0, 5)));
    expect(kinds.slice(20)).toEqual(kinds.slice(0, 20));
    expect(sent(requests, kinds.indexOf("post")).url).toBe("/upload");
    expect(sent(requests, kinds.indexOf("fresh")).url).toBe("/x");
  });

  test("neighbouring bodies differ", () => {
    const requests = new Requests(plan("unix:/a", { mode: "post" }));
    expect(sent(requests, 0).body).not.toEqual(sent(requests, 1).body);
  });
});

describe("the judgement", () => {
  const requests = new Requests(plan("unix:/a", { mode: "post" }));
  const judge = (text: string, kind: "post" | "fresh" = "post", own = requests) => {
    const reader = new ResponseReader();
    reader.reset({ keepBodyBytes: own.keepBodyBytes(kind) });
    expect(reader.push(Buffer.from(text))).toBe("done");
    return own.judge(reader, 5, kind);
  };
  const id = requests.idOf(5);
  const good = contractBody(sent(requests, 5));

  test("the contract's answer is good, with or without the echo", () => {
    expect(judge(answer(good, { id }))).toBeUndefined();
    expect(judge(answer(good).replace(/X-Request-Id.*\r\n/, ""))).toBeUndefined();
  });

  test("what is wrong is said", () => {
    const detail = (text: string) => judge(text)?.detail;
    expect(detail(answer(good, { id: requests.idOf(4) }))).toContain(requests.idOf(4));
    expect(detail(answer(good, { id: "" }))).toContain("answers id ''");
    expect(detail(answer(good, { id: id.replace(/.$/, "x") }))).toContain("answers id");
    expect(detail(answer("hello", { id }))).toContain("not the contract's JSON");
    expect(detail(answer("null", { id }))).toContain("not the contract's JSON");
    expect(detail(answer(contractBody(sent(requests, 6)), { id }))).toContain(requests.idOf(6));
    const changed = (change: object) => answer(contractBody(sent(requests, 5), change), { id });
    expect(detail(changed({ bytes: 1023 }))).toContain("1023 of 1024");
    expect(detail(changed({ sha256: "0" }))).toContain("checksum");
    expect(judge(answer(good, { id, status: "500 Oops" }))).toMatchObject({ class: "bad-status" });
    expect(judge(`${answer(good, { id })}x`)).toMatchObject({ class: "surplus-bytes" });
  });

  test("only POSTs have a body to be judged, and only if it is wanted", () => {
    expect(judge(answer("hello", { id }), "fresh")).toBeUndefined();
    const any = new Requests(plan("unix:/a", { mode: "post", checkBodies: false }));
    expect(judge(answer("hello", { id: any.idOf(5) }), "post", any)).toBeUndefined();
  });
});
