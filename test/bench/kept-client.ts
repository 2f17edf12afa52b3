/**
 * `bun kept-client.ts PATH REQUESTS`: asks on connections that it keeps, as fast as answers come. Says `warm` when the first fifth is
 * answered, and when all are, how much CPU the rest has taken of it, in milliseconds.
 */
const CONNECTIONS = 20;
const [path = "", wanted = "0"] = process.argv.slice(2);
const warm = Math.floor(Number(wanted) / 5);
const REQUEST =
  "POST / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Length: 10\r\n\r\n0123456789";
const [CR, LF] = [13, 10];

let answered = 0;
let before = process.cpuUsage();

const socket = {
  data(client: { write(text: string): number }, bytes: Buffer) {
    // One request at a time: its answer is whole where it ends as the body does, and no line of its head.
    if (bytes.at(-1) !== LF || bytes.at(-2) === CR) return;
    answered++;
    if (answered === warm) {
      process.stdout.write("warm\n");
      before = process.cpuUsage();
    }
    if (answered === Number(wanted)) {
      const { user, system } = process.cpuUsage(before);
      process.stdout.write(`${(user + system) / 1000}\n`);
      process.exit(0);
    }
    client.write(REQUEST);
  },
  close: () => process.exit(1),
};
const clients = Array.from({ length: CONNECTIONS }, () => Bun.connect({ unix: path, socket }));
for (const client of await Promise.all(clients)) client.write(REQUEST);
