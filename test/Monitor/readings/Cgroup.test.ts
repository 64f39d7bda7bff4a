import { assert, describe, it } from "@effect/vitest"
import { hierarchyOf, placementOf, unifiedOf } from "../../../src/Monitor/readings/Container.ts"

const mount = (root: string, point: string, type: string, options: string): string =>
  `31 23 0:28 ${root} ${point} rw,relatime shared:9 - ${type} ${type} rw,${options}`

const lines = (...all: ReadonlyArray<string>): string => all.map((line) => `${line}\n`).join("")

const version1 = lines(
  mount("/", "/sys/fs/cgroup/cpu", "cgroup", "cpu,cpuacct"),
  mount("/", "/sys/fs/cgroup/memory", "cgroup", "memory")
)
const version2 = lines(mount("/", "/sys/fs/cgroup", "cgroup2", "nsdelegate"))
const hybrid = version1 + lines(mount("/", "/sys/fs/cgroup/unified", "cgroup2", "nsdelegate"))

describe("the directories of a controller", () => {
  const rows: ReadonlyArray<readonly [string, cgroup: string, mounts: string, unknown]> = [
    [
      "version 2 in a container with a name space of its own",
      "0::/\n",
      version2,
      { version: 2, directories: ["/sys/fs/cgroup"] }
    ],
    [
      "version 2 on a host, from the own group up to the root",
      "0::/user.slice/user-1000.slice/app.scope\n",
      version2,
      {
        version: 2,
        directories: [
          "/sys/fs/cgroup/user.slice/user-1000.slice/app.scope",
          "/sys/fs/cgroup/user.slice/user-1000.slice",
          "/sys/fs/cgroup/user.slice",
          "/sys/fs/cgroup"
        ]
      }
    ],
    [
      "version 1",
      lines("5:cpu,cpuacct:/", "4:memory:/job/a", "1:name=systemd:/"),
      version1,
      {
        version: 1,
        directories: ["/sys/fs/cgroup/memory/job/a", "/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"]
      }
    ],
    [
      "version 1 with controllers that share a hierarchy",
      lines("4:cpu,memory:/job"),
      lines(mount("/", "/cg/both", "cgroup", "cpu,memory")),
      { version: 1, directories: ["/cg/both/job", "/cg/both"] }
    ],
    [
      "a container of version 1 whose group is what is mounted",
      lines("4:memory:/docker/abc"),
      lines(mount("/docker/abc", "/sys/fs/cgroup/memory", "cgroup", "memory")),
      { version: 1, directories: ["/sys/fs/cgroup/memory"] }
    ],
    [
      "a group below the one that is mounted",
      lines("4:memory:/docker/abc/inner"),
      lines(mount("/docker/abc", "/sys/fs/cgroup/memory", "cgroup", "memory")),
      { version: 1, directories: ["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"] }
    ],
    [
      "a group beside the one that is mounted is seen as the mount",
      lines("4:memory:/docker/abcdef"),
      lines(mount("/docker/abc", "/sys/fs/cgroup/memory", "cgroup", "memory")),
      { version: 1, directories: ["/sys/fs/cgroup/memory"] }
    ],
    [
      "a group outside the name space is seen as the mount",
      "0::/../../other\n",
      version2,
      { version: 2, directories: ["/sys/fs/cgroup"] }
    ],
    [
      "hybrid: version 1 owns the memory",
      lines("4:memory:/job", "0::/elsewhere"),
      hybrid,
      { version: 1, directories: ["/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"] }
    ],
    [
      "hybrid: the unified hierarchy owns the memory",
      lines("5:cpu,cpuacct:/job", "0::/elsewhere"),
      hybrid,
      { version: 2, directories: ["/sys/fs/cgroup/unified/elsewhere", "/sys/fs/cgroup/unified"] }
    ],
    [
      "a path with a space and a colon",
      "0::/a b:c\n",
      lines(mount("/", "/mnt/my\\040groups", "cgroup2", "")),
      { version: 2, directories: ["/mnt/my groups/a b:c", "/mnt/my groups"] }
    ],
    [
      "mounts with propagation, and file systems whose names and options only look like groups",
      "0::/job\n",
      lines(
        "30 23 0:27 / /mnt/a rw - cgroups none rw",
        "31 23 0:28 / /mnt/b rw - fuse cgroup2 rw - cgroup2",
        "32 23 0:29 / /sys/fs/cgroup rw shared:1 master:2 - cgroup2 cgroup rw,nsdelegate"
      ),
      { version: 2, directories: ["/sys/fs/cgroup/job", "/sys/fs/cgroup"] }
    ],
    ["nothing mounted", "0::/\n", "", undefined],
    ["no group", "", version2, undefined],
    ["nonsense", "max\n::\n0:/\n", "a b c\n - \n", undefined]
  ]
  it.each(rows)("%s", (_, cgroup, mounts, expected) => {
    assert.deepStrictEqual(hierarchyOf("memory", placementOf(cgroup, mounts)), expected)
  })

  it("the unified hierarchy is found beside version 1", () => {
    assert.deepStrictEqual(unifiedOf(placementOf(lines("4:memory:/job", "0::/here"), hybrid)), {
      version: 2,
      directories: ["/sys/fs/cgroup/unified/here", "/sys/fs/cgroup/unified"]
    })
    assert.isUndefined(unifiedOf(placementOf(lines("4:memory:/job"), version1)))
  })
})
