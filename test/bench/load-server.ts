/**
 * The small server that the load benchmarks share a machine with: `bun load-server.ts PATH`; says its TCP port. Counts
 * what it gets. `/` is as cheap as this runtime answers, so that the generators are compared and not the server;
 * `/echo` answers with the request's id, for the clean control.
 */
let received = 0;
const fetch = (request: Request): Response => {
  received++;
  if (!request.url.endsWith("/echo")) return new Response("hello\n");
  return new Response("hello\n", { headers: { "X-Request-Id": request.headers.get("x-request-id") ?? "" } });
};
Bun.serve({ unix: process.argv[2] as string, fetch });
const tcp = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
process.on("SIGUSR2", () => console.log(`received ${received}`));
console.log(`ready ${tcp.port}`);
