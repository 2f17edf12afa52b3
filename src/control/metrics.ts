/** `GET /metrics`: the status in Prometheus' text format (prometheus.io, exposition formats). Pure. */
import type { StatusAnswer } from "./protocol.ts";

type Labels = Record<string, string | number>;

interface Metric {
  name: string;
  type: "gauge" | "counter";
  help: string;
  values: [labels: Labels, value: number | undefined][];
}

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function metricsOf(status: StatusAnswer): string {
  const { name } = status;
  return `${metrics(status)
    .flatMap(({ name: metric, type, help, values }) => [
      `# HELP ${metric} ${help}`,
      `# TYPE ${metric} ${type}`,
      ...values.flatMap(([labels, value]) =>
        value === undefined ? [] : [`${metric}${written({ name, ...labels })} ${value}`],
      ),
    ])
    .join("\n")}\n`;
}

function metrics(status: StatusAnswer): Metric[] {
  const { generations, sockets, counts, startedAt, version } = status;
  const serving = generations.findLast((g) => g.role === "serving" || g.role === "unconfirmed");
  return [
    gauge("hupwatch_info", "Always 1; the label has the version.", [[{ version }, 1]]),
    gauge("hupwatch_start_time_seconds", "When hupwatch started.", [[{}, seconds(startedAt)]]),
    gauge("hupwatch_serving_generation", "Number of the serving generation.", [[{}, serving?.number]]),
    gauge(
      "hupwatch_generation_processes",
      "Processes of a generation's tree.",
      generations.map((g) => [{ generation: g.number, role: g.role }, g.processes]),
    ),
    gauge(
      "hupwatch_generation_resident_bytes",
      "Resident memory of its tree, shared pages counted in each process.",
      generations.map((g) => [{ generation: g.number, role: g.role }, g.residentBytes]),
    ),
    gauge(
      "hupwatch_generation_connections",
      "Clients' connections of a generation, while more than one generation lives.",
      generations.map((g) => [{ generation: g.number, role: g.role }, g.connections]),
    ),
    gauge(
      "hupwatch_socket_queue",
      "Connections that have not been accepted yet.",
      sockets.map((s) => [{ address: s.address, cutover: s.cutover }, s.queued]),
    ),
    {
      name: "hupwatch_swaps_total",
      type: "counter",
      help: "Swaps by outcome.",
      values: [
        [{ outcome: "swapped" }, counts.swapped],
        [{ outcome: "rolled-back" }, counts.rolledBack],
      ],
    },
    counter("hupwatch_crashes_total", "Serving generations that died by themselves.", counts.crashed),
    counter(
      "hupwatch_rescued_connections_total",
      "Clients of dead generations that were passed on.",
      counts.rescued,
    ),
    ...keptConnections(status),
    ...lastSwap(status),
  ];
}

function lastSwap({ swaps }: StatusAnswer): Metric[] {
  const last = swaps.at(-1);
  return [
    gauge("hupwatch_last_swap_success", "1 if the last swap succeeded, 0 if it was rolled back.", [
      [{}, last && Number(last.outcome === "swapped")],
    ]),
    gauge("hupwatch_last_swap_timestamp_seconds", "When the last swap ended.", [
      [{}, last && seconds(last.endedAt)],
    ]),
    gauge("hupwatch_last_swap_duration_seconds", "From the start of the new generation to the outcome.", [
      [{}, last && last.durationMs / 1000],
    ]),
    gauge("hupwatch_last_ready_seconds", "From the start of the new generation until it was ready.", [
      [{}, last?.readyMs === undefined ? undefined : last.readyMs / 1000],
    ]),
  ];
}

const keptConnections = ({ counts, keptConnections: relay }: StatusAnswer): Metric[] =>
  relay === undefined
    ? []
    : [
        gauge("hupwatch_kept_connections", "Connections that have outlived their generation.", [
          [{ state: "waiting" }, relay.waiting],
          [{ state: "relayed" }, relay.relayed],
        ]),
        counter(
          "hupwatch_kept_connections_total",
          "Connections that have outlived their generation.",
          counts.kept,
        ),
        counter(
          "hupwatch_kept_connections_closed_total",
          "Kept connections that were closed with their generation.",
          counts.closed,
        ),
        counter(
          "hupwatch_kept_connections_moved_total",
          "How often a kept connection was moved to the next generation at a swap.",
          relay.moved,
        ),
        {
          name: "hupwatch_kept_connections_let_go_total",
          type: "counter",
          help: "Kept connections that were given up later, and why.",
          values: Object.entries(relay.letGo).map(([why, n]) => [{ why }, n]),
        },
      ];

const gauge = (name: string, help: string, values: Metric["values"]): Metric => ({
  name,
  type: "gauge",
  help,
  values,
});

const counter = (name: string, help: string, value: number): Metric => ({
  name,
  type: "counter",
  help,
  values: [[{}, value]],
});

const seconds = (iso: string): number => Date.parse(iso) / 1000;

const written = (labels: Labels): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(",")}}`;

const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
