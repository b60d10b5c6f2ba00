//! One process of a cluster: HTTP, gRPC, threads and clocks around one replica.
