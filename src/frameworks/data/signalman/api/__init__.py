"""What Signalman offers: gRPC for Bridge, sockets for everybody else."""
