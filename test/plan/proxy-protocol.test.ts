import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { proxyProtocolIn } from "../../src/plan/proxy-protocol.ts";
import { tempDir } from "../harness/temp-dir.ts";

function found(words: string[], more: { env?: Record<string, string>; files?: Record<string, string> } = {}) {
  using place = tempDir();
  mkdirSync(`${place.path}/config`);
  for (const [name, text] of Object.entries(more.files ?? {})) writeFileSync(`${place.path}/${name}`, text);
  return proxyProtocolIn({
    ...{
      name: "app",
      words,
      directory: place.path,
      environment: more.env ?? {},
      configFiles: ["gunicorn.conf.py"],
    },
    ...{ envFile: undefined, user: undefined, group: undefined },
  });
}

test.each([
  [["gunicorn", "--proxy-protocol", "app:app"], {}, "--proxy-protocol"],
  [
    ["sh", "-c", "exec gunicorn --proxy-protocol=v1 app:app"],
    {},
    "exec gunicorn --proxy-protocol=v1 app:app",
  ],
  [["gunicorn", "app:app"], { env: { GUNICORN_CMD_ARGS: "--proxy-protocol" } }, "GUNICORN_CMD_ARGS"],
  [["./server"], { env: { PROXY_PROTOCOL: "1" } }, "PROXY_PROTOCOL"],
  [["gunicorn", "app:app"], { files: { "gunicorn.conf.py": "proxy_protocol = True" } }, "gunicorn.conf.py"],
  [["gunicorn", "-c", "file:g.py"], { files: { "g.py": "proxy_protocol = True" } }, "g.py"],
  [["puma", "--config=p.rb"], { files: { "p.rb": "set_remote_address proxy_protocol: :v1" } }, "p.rb"],
  [["node", "server.js"], { files: { "server.js": 'require("proxy-protocol-js")' } }, "server.js"],
] as const)("%j, %j: %s", (words, more, what) => {
  expect(found([...words], more)).toBe(what);
});

test.each([
  [["uvicorn", "--proxy-headers", "app:app"], { env: { HTTP_PROXY: "http://proxy:3128", no_proxy: "::1" } }],
  // No file, no regular one, none that can be.
  [["node", "config", "/dev/zero", "a\0b", "-"], { files: { "server.js": "" } }],
] as const)("%j, %j: nothing", (words, more) => {
  expect(found([...words], more)).toBeUndefined();
});
