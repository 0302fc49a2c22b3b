// The types of the lower layers that Meander's own interface speaks of, so that an embedder imports `Meander`
// alone.
@_exported import MeanderErrors
@_exported import MeanderText

@_exported import enum MeanderKernels.Compute
@_exported import enum MeanderModels.ContextBound
@_exported import enum MeanderModels.StatePrecision
@_exported import struct MeanderModels.Mitigation
