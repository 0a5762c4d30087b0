"""One module, trained by several processes: torchrun --nproc-per-node 2 examples/processes.py."""

import torch
import torch.distributed as dist

import betahat as bh

dist.init_process_group("gloo")  # "nccl" where every process has a GPU

draw = torch.Generator().manual_seed(43052)
X = torch.randn(1000, 2, generator=draw, dtype=torch.float64)
y = 2.5 + X @ torch.tensor([4.0, -1.0], dtype=torch.float64)
y += 0.5 * torch.randn(1000, generator=draw, dtype=torch.float64)

line = torch.nn.Linear(2, 1, dtype=torch.float64)  # the first process's start counts
fit = bh.train(
    line, X, y, loss=torch.nn.MSELoss(), optimizer="sgd", lr=0.1, epochs=5, batch_size=100, shuffle=True,
    generator=torch.Generator().manual_seed(1),
)  # fmt: skip

if dist.get_rank() == 0:  # every process has the same fit
    print(fit.params.round(3).to_dict(), fit.bse.round(3).to_dict())
    print(fit.why)
dist.barrier()
dist.destroy_process_group()
