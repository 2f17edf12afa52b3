/** Proxies that keep connections to the app behind them, for one port of 127.0.0.1. None sends a request a second time. */
import { mkdirSync, writeFileSync } from "node:fs";
import { freePort } from "./free-port.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface Front extends AsyncDisposable {
  port: number;
}

/** `upstream`: `unix:/path` or `host:port`. */
interface Proxy {
  program: string;
  /** `keeping`: what nginx's `upstream` says besides. */
  config(place: string, port: number, upstream: string, keeping: string): string;
  words(place: string): string[];
}

export const PROXIES = {
  nginx: {
    program: "/usr/sbin/nginx",
    config: (place, port, upstream, keeping) => `
daemon off; pid ${place}/pid; error_log ${place}/error.log; worker_processes 1;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path ${place}/temp; proxy_temp_path ${place}/temp;
  fastcgi_temp_path ${place}/temp; uwsgi_temp_path ${place}/temp; scgi_temp_path ${place}/temp;
  upstream app { server ${upstream}; keepalive 16; ${keeping} }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`,
    words: (place) => ["nginx", "-p", place, "-c", `${place}/config`],
  },
  HAProxy: {
    program: "/usr/sbin/haproxy",
    config: (_, port, upstream) => `
defaults
  mode http
  retries 0
  timeout connect 60s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind 127.0.0.1:${port}
  default_backend app
backend app
  server app ${upstream.replace(/^unix:/, "unix@")} pool-purge-delay 60s pool-max-conn 100
`,
    words: (place) => ["/usr/sbin/haproxy", "-db", "-f", `${place}/config`],
  },
} satisfies Record<string, Proxy>;

/** Resolves when an answer comes through it. Its workers are another user where we are root: `upstream` must be open to it. */
export async function startFront(name: keyof typeof PROXIES, upstream: string, keeping = ""): Promise<Front> {
  const proxy: Proxy = PROXIES[name];
  const place = tempDir();
  const port = await freePort();
  mkdirSync(`${place.path}/temp`);
  writeFileSync(`${place.path}/config`, proxy.config(place.path, port, upstream, keeping));
  const running = Bun.spawn(proxy.words(place.path), { stdout: "ignore", stderr: "ignore" });
  const front = {
    port,
    async [Symbol.asyncDispose]() {
      running.kill();
      await running.exited;
      place[Symbol.dispose]();
    },
  };
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/`).then(
      ({ ok }) => ok,
      () => false,
    );
  try {
    await until(answers, { what: `${name} to answer` });
    return front;
  } catch (error) {
    await front[Symbol.asyncDispose]();
    throw error;
  }
}
