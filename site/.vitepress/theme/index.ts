// Without the fonts of the theme: the fonts of the reader's system load nothing.
import DefaultTheme from "vitepress/theme-without-fonts"
import "./style.css"

export default DefaultTheme
