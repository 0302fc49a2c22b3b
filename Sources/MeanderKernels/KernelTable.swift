import CMeanderKernels
import Glibc
import MeanderErrors

/// Which precision products compute in.
public enum Compute: String, Sendable, CaseIterable {
  /// Everything in fp32; weights stored as bf16 are widened.
  case fp32
  /// Where the weight is stored as bf16, activations are rounded to bf16 for the product; sums stay fp32.
  case bf16
  /// Where the weight is stored in quantised blocks, activations are rounded to 8 bits, 32 of them by one scale, and products
  /// of the codes are integers; everything else in fp32.
  case int8
}

/// One instruction table: how a CPU does each operation. In fp32 all tables give the same bits.
package struct KernelTable: @unchecked Sendable {
  // Safe as Sendable: a constant of the program.
  let functions: UnsafePointer<meander_table>

  package var name: String { String(cString: functions.pointee.name) }

  /// The tables that this CPU runs, the most capable first.
  package static let all: [KernelTable] = compiled.filter { $0.isSupported && !$0.isForTests }
  /// The sources of wider and narrower tables, run in this CPU's instructions: for tests alone.
  package static let forTests: [KernelTable] = compiled.filter { $0.isSupported && $0.isForTests }
  /// The most capable table of this CPU.
  package static let best: KernelTable = all[0]

  /// The table of that name. Throws `unsupported` if this build or this CPU has none.
  package static func named(_ name: String) throws(MeanderError) -> KernelTable {
    if let table = compiled.first(where: { $0.name == name && $0.isSupported }) { return table }
    let names = all.map(\.name).joined(separator: ", ")
    let what = compiled.contains { $0.name == name } ? "this CPU cannot run" : "there is no"
    throw MeanderError(
      .unsupported, "\(what) instruction table “\(name)”", remedy: "Tables of this CPU: \(names).")
  }

  /// The table that the environment asks for by `MEANDER_INSTRUCTIONS`, else `best`.
  package static func fromEnvironment() throws(MeanderError) -> KernelTable {
    // Safe: the string is copied before anything could change the environment.
    guard let name = getenv("MEANDER_INSTRUCTIONS").map({ String(cString: $0) }), !name.isEmpty else { return best }
    do { return try named(name) } catch {
      throw MeanderError(error.code, error.what, at: "MEANDER_INSTRUCTIONS", remedy: error.remedy)
    }
  }

  // Safe: each pointer is to a constant of the program.
  private static let compiled: [KernelTable] = (0...).lazy.map { meander_table_at($0) }.prefix { $0 != nil }
    .compactMap { $0.map(KernelTable.init(functions:)) }
  private var isSupported: Bool { functions.pointee.is_supported() }
  private var isForTests: Bool { functions.pointee.for_tests }
}

/// The operations of this module, done by one table and one team in one precision.
///
/// One dispatching thread at a time, like the team. Shapes are preconditions: what comes from outside is checked above.
package struct Kernels: Sendable {
  package let table: KernelTable
  package let team: WorkerTeam
  package let compute: Compute

  package init(table: KernelTable, team: WorkerTeam, compute: Compute) {
    self.table = table
    self.team = team
    self.compute = compute
  }

  var functions: meander_table { table.functions.pointee }
}
