import { BaseSequencer, type TestSpecification } from "vitest/node"

/**
 * Starts the files of the project "counted" before all others. They are the longest of the suite, and small: in the order of Vitest, which
 * goes by size, the longest would start last, and run alone.
 */
export class CountedFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const isCounted = ({ project }: TestSpecification) => project.name === "counted"
    return [...sorted.filter(isCounted), ...sorted.filter((file) => !isCounted(file))]
  }
}
