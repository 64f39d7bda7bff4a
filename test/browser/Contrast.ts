/**
 * Texts of a page whose contrast to the ground behind them is under 4.5 (WCAG AA), each with its ratio. Colors that let the ground
 * shine through are mixed with it.
 */
export const faint = `(() => {
  const channels = (text) => {
    const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\\d.]+/g) ?? []).map(Number)
    return [r, g, b, a]
  }
  const over = ([r, g, b, a], under) => [r, g, b].map((part, index) => part * a + under[index] * (1 - a))
  const ground = (node) => {
    if (node === null) return [255, 255, 255]
    const color = channels(getComputedStyle(node).backgroundColor)
    return color[3] === 1 ? color.slice(0, 3) : over(color, ground(node.parentElement))
  }
  const light = (parts) => {
    const [r, g, b] = parts.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
  const contrast = (one) => {
    const behind = ground(one)
    return ratio(light(over(channels(getComputedStyle(one).color), behind)), light(behind))
  }
  return Array.from(document.querySelectorAll("body *"))
    .filter((one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .filter((one) => Array.from(one.childNodes).some((node) => node.nodeType === 3 && node.data.trim() !== ""))
    .map((one) => [one, contrast(one)])
    .filter(([, value]) => value < 4.5)
    .map(([one, value]) => one.tagName + "." + one.className + " " + value.toFixed(2))
})()`
