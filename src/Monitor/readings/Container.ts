/**
 * What the container gives this process: memory, processes, and how much others wait in it.
 *
 * @since 0.1.0
 */
import * as Reading from "../Reading.ts"
import type { Gauge } from "../Usage.ts"
import {
  amountReading,
  attempt,
  guarded,
  isSaturation,
  limitReading,
  pressureReading,
  smaller,
  valueOf
} from "./Procfs.ts"
import type { OpenFiles, ProcReader, SmallFile } from "./Procfs.ts"

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

/**
 * The probes of one container.
 *
 * @category models
 * @since 0.1.0
 */
export interface Container {
  readonly memory: (now: number) => Gauge
  readonly processLimit: (now: number) => Reading.Reading
  readonly pressure: (resource: Resource, now: number) => Reading.Reading
}

type Resource = "memory" | "cpu" | "io"

/** One control group: what it uses and what it may use. */
type Level = (now: number) => Gauge

interface Groups {
  readonly memory: ReadonlyArray<Level>
  readonly processLimits: ReadonlyArray<SmallFile>
  readonly pressure: Readonly<Record<Resource, SmallFile>>
}

/** The groups of this process. */
const ownMembership = "/proc/self/cgroup"
const mounts = "/proc/self/mountinfo"

/**
 * What is used, without the contents of files that the kernel gives back when memory is wanted: a group that reads many files
 * is at its limit all the time, and lacks nothing.
 */
const withoutCache = (
  used: Reading.Reading,
  stat: string | undefined,
  keys: ReadonlyArray<string>
): Reading.Reading => {
  const cache = keys.reduce((sum, key) => sum + (valueOf(stat ?? "", key) ?? 0), 0)
  return used._tag === "Known" && cache > 0 && cache < used.value
    ? { ...used, value: used.value - cache, exact: false }
    : used
}

const levelOf = (files: OpenFiles, directory: string, version: 1 | 2, isHeld: boolean): Level => {
  const names = memoryFiles[version]
  const open = (name: string) => files.file(`${directory}/${name}`, isHeld)
  const [used, limit, stat] = [open(names.used), open(names.limit), open(names.stat)]
  return (now) => ({
    used: withoutCache(
      guarded(used.path, () => amountReading(used.text(), now, used.path, 1)),
      attempt(stat.text),
      names.cache
    ),
    limit: guarded(limit.path, () => limitReading(limit.text(), now, limit.path, 1))
  })
}

// A group above one's own is of interest only if it limits something, and limits are seldom set later.
const limited = (files: OpenFiles, hierarchy: Hierarchy | undefined, name: string): ReadonlyArray<string> =>
  (hierarchy?.directories ?? []).filter((directory, i) => {
    const path = `${directory}/${name}`
    return i === 0 || guarded(path, () => limitReading(files.contents(path), 0, path, 1))._tag === "Known"
  })

interface ContainerOptions {
  /** Whether the files stay open. */
  readonly isHeld: boolean
  /** Resident memory of this process in bytes, without the contents of files. */
  readonly resident: (now: number) => Reading.Reading
  /**
   * The file that says which groups the process is in.
   *
   * @default "/proc/self/cgroup"
   */
  readonly membership?: string | undefined
}

const locate = (files: OpenFiles, membership: string, isHeld: boolean): Groups => {
  const placement = placementOf(files.contents(membership), files.contents(mounts))
  const memory = hierarchyOf("memory", placement)
  const unified = unifiedOf(placement)?.directories[0] ?? ""
  const version = memory?.version ?? 2
  const pressureFile = (resource: Resource): SmallFile => {
    const own = `${unified}/${resource}.pressure`
    const works = guarded(own, () => pressureReading(files.contents(own), 0, own))._tag === "Known"
    return files.file(works ? own : `/proc/pressure/${resource}`, isHeld)
  }
  return {
    memory: limited(files, memory, memoryFiles[version].limit)
      .map((directory) => levelOf(files, directory, version, isHeld)),
    processLimits: limited(files, hierarchyOf("pids", placement), "pids.max")
      .map((directory) => files.file(`${directory}/pids.max`, isHeld)),
    pressure: { memory: pressureFile("memory"), cpu: pressureFile("cpu"), io: pressureFile("io") }
  }
}

const roomIn = ({ used, limit }: Gauge): number =>
  limit._tag === "Known" ? limit.value - (used._tag === "Known" ? used.value : 0) : Infinity

// The highest group of all has no file that could limit it.
const withoutFile = (limit: Reading.Reading): Reading.Reading =>
  limit._tag === "Unknown" && limit.reason === "Missing" ? Reading.unlimited(limit.source) : limit

// Where no group is mounted here there may be limits all the same.
const unseen = Reading.unknown("Missing", ownMembership)

/**
 * The gauge of the group that has the least room, of one's own where none is limited.
 *
 * @category combinators
 * @since 0.1.0
 */
export const tightest = (gauges: ReadonlyArray<Gauge>): Gauge => {
  const [first, ...others] = gauges
  if (first === undefined) return { used: unseen, limit: unseen }
  const least = others.reduce((least, gauge) => roomIn(gauge) < roomIn(least) ? gauge : least, first)
  return { used: least.used, limit: withoutFile(least.limit) }
}

const lambdaMemory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

/**
 * The limit that AWS Lambda states in the environment, in MiB there and in bytes here. Nonsense is none.
 *
 * @category parsing
 * @since 0.1.0
 */
export const lambdaLimit = (text: string | undefined, now: number): Reading.Reading => {
  const mebibytes = amountReading(text, now, lambdaMemory, 1)
  return mebibytes._tag === "Known" ? { ...mebibytes, value: mebibytes.value * 1024 * 1024 } : mebibytes
}

/** Where a platform has no containers of this kind, nothing limits through them: that is known. */
const platformsWithoutGroups: ReadonlySet<string> = new Set(["darwin", "win32"])

const withoutGroups = (platform: string, membership: string, cause: unknown): Gauge => ({
  used: Reading.fromFailure(cause, membership),
  limit: platformsWithoutGroups.has(platform) ? Reading.unlimited(platform) : Reading.fromFailure(cause, membership)
})

/** Finds the groups once. Where that fails for want of descriptors only, the next reading tries again. */
const found = (files: OpenFiles, membership: string, isHeld: boolean) => {
  let groups: Groups | undefined
  let failure: { readonly cause: unknown } | undefined
  const find = (): Groups => {
    if (failure !== undefined) throw failure.cause
    try {
      return groups ??= locate(files, membership, isHeld)
    } catch (cause) {
      if (!isSaturation(cause)) failure = { cause }
      throw cause
    }
  }
  attempt(find)
  return find
}

/**
 * The probes of the container that this process is in.
 *
 * **Details**
 *
 * - Memory: the control group, of version 1 or 2, whichever owns the controller, and the groups above it that limit as
 *   well; the one with the least room counts. The contents of files are left out, for the kernel drops them on demand. On AWS
 *   Lambda the limit in the environment counts when it is smaller, and the resident memory of this process, also without the
 *   contents of files, stands in where no group can be read.
 * - Processes: `pids.max`, the smallest of the same.
 * - Pressure: the group's own, else that of the whole system.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  reader: ProcReader,
  files: OpenFiles,
  { isHeld, membership = ownMembership, resident: residentMemory }: ContainerOptions
): Container => {
  const groups = found(files, membership, isHeld)
  const ofGroups = (now: number): Gauge => {
    try {
      return tightest(groups().memory.map((level) => level(now)))
    } catch (cause) {
      return withoutGroups(reader.platform, membership, cause)
    }
  }
  return {
    memory: (now) => {
      const gauge = ofGroups(now)
      const stated = lambdaLimit(attempt(() => reader.environment(lambdaMemory)), now)
      if (stated._tag !== "Known" || smaller(stated, gauge.limit) !== stated) return gauge
      const resident = residentMemory(now)
      const used = resident._tag === "Known" ? { ...resident, exact: false } : resident
      return { used: gauge.used._tag === "Known" ? gauge.used : used, limit: stated }
    },
    processLimit: (now) =>
      guarded(membership, () => {
        const [first, ...others] = groups().processLimits
          .map((file) => withoutFile(guarded(file.path, () => limitReading(file.text(), now, file.path, 1))))
        return others.reduce(smaller, first ?? unseen)
      }),
    pressure: (resource, now) => {
      const path = `/proc/pressure/${resource}`
      return guarded(path, () => {
        const file = groups().pressure[resource]
        return guarded(file.path, () => pressureReading(file.text(), now, file.path))
      })
    }
  }
}
