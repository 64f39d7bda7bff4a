/**
 * Where the files of this process's control group are, and which of its levels is the tightest, as pure functions.
 *
 * @since 0.1.0
 */

/**
 * The directories that hold this process's figures for one controller, the process's own group first, then each group
 * above it up to the highest that is visible here.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hierarchy {
  readonly version: 1 | 2
  readonly directories: ReadonlyArray<string>
}

/**
 * The groups that this process is in, and where groups are mounted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Placement {
  readonly memberships: ReadonlyArray<Membership>
  readonly mounts: ReadonlyArray<Mount>
}

interface Membership {
  readonly controllers: ReadonlyArray<string>
  readonly path: string
}

interface Mount {
  /** The group that is mounted. */
  readonly root: string
  /** Where it is mounted. */
  readonly point: string
  readonly type: string
  readonly options: ReadonlyArray<string>
}

const membershipsOf = (text: string): ReadonlyArray<Membership> =>
  text.split("\n").flatMap((line) => {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line)
    return match === null ? [] : [{ controllers: (match[1] ?? "").split(","), path: match[2] ?? "/" }]
  })

// The kernel writes a space in a path as \040, and so on.
const unescaped = (path: string): string =>
  !path.includes("\\")
    ? path
    : path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

// Of dozens of mounts one or two are of control groups: the expression finds those, and nothing is made of the others.
const mountLine = /^\S+ \S+ \S+ (\S+) (\S+)(?: (?!- )\S+)* - (cgroup2?)(?: \S* ?(\S*).*)?$/gm

const mountsOf = (text: string): ReadonlyArray<Mount> =>
  Array.from(text.matchAll(mountLine), ([, root = "", point = "", type = "", options = ""]) => ({
    root: unescaped(root),
    point: unescaped(point),
    type,
    options: options.split(",")
  }))

const isWithin = (path: string, root: string): boolean => root === "/" || path === root || path.startsWith(`${root}/`)

/** From the group at `path` up to the one that is mounted. A group that is not under the mount is seen as the mount. */
const directoriesOf = (path: string, { root, point }: Mount): ReadonlyArray<string> => {
  if (!isWithin(path, root) || path.split("/").includes("..")) return [point]
  const steps = path.slice(root === "/" ? 0 : root.length).split("/").filter((step) => step !== "")
  return steps.map((_, i) => [point, ...steps.slice(0, steps.length - i)].join("/")).concat(point)
}

const isUnified = ({ controllers }: Membership): boolean => controllers.join() === ""

/**
 * Reads `/proc/self/cgroup` and `/proc/self/mountinfo`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const placementOf = (cgroup: string, mountinfo: string): Placement => ({
  memberships: membershipsOf(cgroup),
  mounts: mountsOf(mountinfo)
})

/**
 * Finds the unified hierarchy of this process.
 *
 * @category parsing
 * @since 0.1.0
 */
export const unifiedOf = ({ memberships, mounts }: Placement): Hierarchy | undefined => {
  const membership = memberships.find(isUnified)
  const mount = mounts.find(({ type }) => type === "cgroup2")
  if (membership === undefined || mount === undefined) return undefined
  return { version: 2, directories: directoriesOf(membership.path, mount) }
}

/**
 * Finds the hierarchy that a controller of this process lives in.
 *
 * **Details**
 *
 * On a system with both versions each controller lives in one of them: the line of `/proc/self/cgroup` that names the
 * controller owns it, else the unified hierarchy does. `undefined` when none of that is mounted here.
 *
 * @category parsing
 * @since 0.1.0
 */
export const hierarchyOf = (controller: "memory" | "pids", placement: Placement): Hierarchy | undefined => {
  const owner = placement.memberships.find(({ controllers }) => controllers.includes(controller))
  const mount = placement.mounts.find(({ type, options }) => type === "cgroup" && options.includes(controller))
  return owner !== undefined && mount !== undefined
    ? { version: 1, directories: directoriesOf(owner.path, mount) }
    : unifiedOf(placement)
}

/**
 * The names of the files that hold a group's memory, by version, and the keys under which their statistics count the
 * contents of files, which the kernel drops when memory is wanted.
 *
 * @category constants
 * @since 0.1.0
 */
export const memoryFiles = {
  1: {
    used: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    stat: "memory.stat",
    cache: ["total_inactive_file", "total_active_file"]
  },
  2: { used: "memory.current", limit: "memory.max", stat: "memory.stat", cache: ["inactive_file", "active_file"] }
} as const
