/**
 * Tools for the tests of a program.
 *
 * - {@link LeakCheck} fails a test that leaves something open, and names the line that opened it.
 * - {@link ScriptedConnector} is a connector that follows a script of the test.
 * - {@link FaultProxy} breaks real connections: it delays, cuts, resets, freezes and refuses.
 *
 * `ResourceMonitor.layerTest` drives the readings of a monitor.
 *
 * @since 0.1.0
 * @stability stable
 */
export * as FaultProxy from "./FaultProxy.ts"
export * as LeakCheck from "./LeakCheck.ts"
export * as ScriptedConnector from "./ScriptedConnector.ts"
