/**
 * Every figure that the monitor reads, in one record.
 *
 * @since 0.1.0
 */
import type { Reading } from "./Reading.ts"

/**
 * What the fast tick reads: what changes within a second.
 *
 * @category models
 * @since 0.1.0
 */
export interface FastFigures {
  /**
   * Open file descriptors of this process, without those that the monitor holds. Exact: the kernel's own count, or a listing.
   */
  readonly descriptors: Reading
  /** Resident memory in bytes, as the kernel counts it. */
  readonly memory: Reading
}

/**
 * What the slow tick reads: limits, which seldom change, and what costs more to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface SlowFigures {
  /** The process's own soft limit of descriptors. */
  readonly descriptorLimit: Reading
  /**
   * TCP sockets in the network namespace, IPv4 and IPv6, those of other processes in it as well. Sockets that wait out
   * their time after closing are not among them.
   */
  readonly sockets: Reading
  /** Bytes that V8's heap uses. */
  readonly heap: Reading
  /** Bytes that V8's heap may grow to, after which the process dies. */
  readonly heapLimit: Reading
  /**
   * Memory in bytes that the container uses, as its cgroup counts it, without the contents of files, which the kernel drops
   * when memory is wanted. An estimate, for the two are read one after the other. On AWS Lambda, where no cgroup can be read,
   * the resident memory of this process stands in, also without the contents of files.
   */
  readonly containerMemory: Reading
  /**
   * Memory in bytes that the container may use: of its cgroup, those above it that are visible, and what AWS Lambda states in
   * the environment, the limit with the least room.
   */
  readonly containerMemoryLimit: Reading
  /** The share of the last 10 seconds in which some task waited for memory, 0 to 1. The kernel's running average. */
  readonly memoryPressure: Reading
  /** The share of the last 10 seconds in which some task waited for a processor, 0 to 1. The kernel's running average. */
  readonly cpuPressure: Reading
  /** The share of the last 10 seconds in which some task waited for a disk, 0 to 1. The kernel's running average. */
  readonly ioPressure: Reading
  /** Threads of this process. */
  readonly threads: Reading
  /** Processes and threads that this user, or this container, may have: the smaller limit. */
  readonly processLimit: Reading
}

/**
 * Every figure that the monitor reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Figures extends FastFigures, SlowFigures {
  /** Connections that this library has open, by label, from its ledger. Exact. */
  readonly connections: ReadonlyMap<string, number>
  /**
   * How late the monitor's own timer rang at the end of the last window, in milliseconds. An estimate of the event loop's
   * delay, with one probe of it for each window: a delay that ends before the timer is due is not seen here, but in
   * `loopUtilization`.
   */
  readonly loopDelay: Reading
  /**
   * The share of the last window in which the event loop was busy, 0 to 1. Exact, from the runtime. The window is the time
   * between two ticks, never the time since start.
   */
  readonly loopUtilization: Reading
  /** Children of this process that have ended and that nobody has waited for, seen so twice. */
  readonly zombies: Reading
}
