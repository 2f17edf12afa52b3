/** What the rig reads from the host and from the fixtures, and what it refuses. */
import { describe, expect, test } from "bun:test";
import { GUNICORN_TCP, GUNICORN_UNIX } from "../../docker/rig/columns.ts";
import { filesOf, podCommand, podPreStop, withServer } from "../../docker/rig/fixture.ts";
import { aptSettings, pipSettings } from "../../docker/rig/host-settings.ts";
import { ROWS } from "../../docker/rig/matrix.ts";
import { readOptions } from "../../docker/rig/options.ts";

describe("the host's settings", () => {
  test("of apt: proxies and the checks of old snapshots, no paths and no empty values", () => {
    const dump = `Acquire::http::Proxy "http://proxy:3128";
Acquire::https::Proxy "";
Acquire::Check-Valid-Until "false";
Acquire::cdrom::mount "/media/cdrom/";
APT::Architecture "amd64";
`;
    expect(aptSettings(dump)).toBe(
      'Acquire::http::Proxy "http://proxy:3128";\nAcquire::Check-Valid-Until "false";\n',
    );
  });

  test("of pip: where packages come from", () => {
    const list = "global.index-url='https://pypi.example/simple'\nglobal.cert='/x'\nglobal.timeout='5'\n";
    expect(pipSettings(list)).toEqual({
      PIP_CERT: "/etc/ssl/certs/ca-certificates.crt",
      PIP_INDEX_URL: "https://pypi.example/simple",
    });
  });
});

describe("the fixtures", () => {
  const rows = ROWS.filter(({ files }) => files.length > 0);
  test.each(rows.map((row) => [row.name, row] as const))(
    "%s: any server takes gunicorn's place",
    (_, row) => {
      for (const column of row.columns) {
        const texts = filesOf(row, column).map(({ text }) => text);
        expect(texts.filter((text) => text.includes(` ${column.words.join(" ")}\n`))).toHaveLength(1);
        if (row.edit) expect(texts.join("")).not.toContain(row.edit[0]);
      }
    },
  );

  test("kubernetes.yaml starts what its cell says", () => {
    const { words } = GUNICORN_TCP;
    expect(podCommand()).toEqual(["hupwatch", "-k", "--", ...words]);
    expect(podPreStop()).toBe("sleep 5");
  });

  test("one that names no server where hupwatch is started is refused", () => {
    expect(() => withServer("exec hupwatch -- ./other\n", GUNICORN_UNIX)).toThrow("no 'gunicorn");
    expect(withServer("nothing of it\n", GUNICORN_UNIX)).toBe("nothing of it\n");
  });
});

describe("options", () => {
  test("none: the short grid", () => {
    expect(readOptions([])).toMatchObject({ full: false, swaps: 3, only: undefined });
  });

  test.each(["--swaps 1", "--swaps x", "--jobs 0", "--swap 3", "word"])("%s is refused", (words) => {
    expect(() => readOptions(words.split(" "))).toThrow();
  });
});
