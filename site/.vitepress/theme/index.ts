// Without the fonts of the theme: the fonts of the reader's system load nothing.
import type { Theme } from "vitepress"
import DefaultTheme from "vitepress/theme-without-fonts"
import Mermaid from "./Mermaid.ts"
import "./style.css"

const theme: Theme = {
  extends: DefaultTheme,
  enhanceApp: ({ app }) => {
    app.component("MermaidDiagram", Mermaid)
  }
}

export default theme
