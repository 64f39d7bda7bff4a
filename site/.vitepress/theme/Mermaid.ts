/**
 * A diagram of Mermaid. Its source is in the page, so that it can be read and found without a script; the picture replaces it in the browser.
 */
import { useData } from "vitepress"
import { defineComponent, h, onMounted, ref, watch } from "vue"

let count = 0

/** The picture of a diagram, as SVG. The library is loaded for the first one. */
const drawn = async (source: string, isDark: boolean): Promise<string> => {
  const { default: mermaid } = await import("mermaid")
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict", theme: isDark ? "dark" : "neutral" })
  const { svg } = await mermaid.render(`mermaid-${count++}`, source)
  return svg
}

export default defineComponent({
  props: { code: { type: String, required: true } },
  setup: (props) => {
    const { isDark } = useData()
    const source = decodeURIComponent(props.code)
    const picture = ref({ svg: "", theme: "" })
    const draw = async () => {
      const theme = isDark.value ? "dark" : "light"
      picture.value = { svg: await drawn(source, isDark.value), theme }
    }
    onMounted(draw)
    watch(isDark, draw)
    return () =>
      picture.value.svg === ""
        ? h("pre", { class: "mermaid-source" }, source)
        : h("div", {
          class: "mermaid-picture",
          role: "img",
          "aria-label": source,
          "data-theme": picture.value.theme,
          innerHTML: picture.value.svg
        })
  }
})
