"""`watch`의 편지, 한국어, 이어서."""

LETTERS = {
    "parameter-not-registered": (
        "{owner}.{attribute}는 requires_grad가 켜진 보통 텐서 {shape}이고 {owner}의 파라미터가 아닙니다. {place0}의 "
        "loss에서 기울기를 {times}번 받았지만 어느 옵티마이저도 갖고 있지 않습니다.",
        "처음 값 그대로 남고, parameters()와 state_dict()에도 없으며 다른 장치로 옮겨지지도 않습니다",
        "self.{attribute} = nn.Parameter(…)  # __init__에서. 고정할 값이면 requires_grad=False로",
    ),
    "trained-in-eval-mode, flag": (
        "{place0}의 backward()가 {model}을 지나가는데, {model} 자신의 표시만 학습 모드이고 안의 층은 모두 평가 "
        "모드입니다. 안에 {kinds}이(가) 있습니다.",
        "{model}.training = True는 표시 하나만 바꾸고 층에는 닿지 않습니다. 드롭아웃은 꺼져 있고 이동 평균은 멈춰 "
        "있습니다",
        "{model}.train()  # 모든 층에 닿습니다",
    ),
    "state-is-a-reference, itself": (
        "{place0}의 load_state_dict()가 모델에 지금의 상태를 그대로 다시 넣습니다. {one}와(과) {other}는 같은 모델의 "
        "두 이름입니다.",
        "대입은 아무것도 복사하지 않습니다. 가장 좋았던 모델이 곧 마지막 모델이고, 되돌려지는 것이 없습니다",
        "best = copy.deepcopy(model)  # 가장 좋은 모델을 찾은 그 자리에서",
    ),
    "scheduler-out-of-step, batches": (
        "{place0}의 {kind}는 T_max={half}번 동안 내려갔다가 다시 올라갑니다. 로더는 배치 {length}개씩 {half}번 "
        "돌았는데, 스케줄러는 배치마다 한 번씩 모두 {times}번 진행되었습니다.",
        "에포크 수에 맞춘 일정을 배치마다 진행합니다. 학습률이 내내 오르내립니다",
        "scheduler.step()  # 에포크마다 한 번. 또는 T_max=epochs * len(loader)",
    ),
    "scheduler-upside-down": (
        "{place0}의 {kind}(mode='{mode}')에 backward()가 줄이고 있는 loss를 그대로 줍니다(최근 값 {value}).",
        "스케줄러는 loss가 커지기를 기다립니다. 학습이 잘될수록 나아지지 않는다고 보고 학습률을 깎습니다",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='{right}')  # 'max'는 점수에만",
    ),
    "scheduler-upside-down, negative": (
        "{place0}의 {kind}(mode='{mode}')에 backward()가 줄이고 있는 loss의 부호를 바꾼 값을 줍니다(최근 값 {value}).",
        "스케줄러는 그 값이 작아지기를 기다립니다. 학습이 잘될수록 나아지지 않는다고 보고 학습률을 깎습니다",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='{right}')  # 또는 loss를 그대로",
    ),
    "values-truncated, rows": (
        "{place0}에서 수를 {to}(으)로 바꾸면서 소수 부분이 잘렸습니다(첫 번째: {how}). {place1}의 loss로 가는 길에서 "
        "층이 받는 값이 모두 0입니다.",
        "0과 1 사이의 수는 0이 됩니다. 모델은 데이터를 보지 못하고 어느 답이 잦은지만 배웁니다",
        "x = x.float()  # 또는 (255 * x).to(torch.uint8)로 두고, 모델에 넣기 전에 255로 나누기",
    ),
    "loss-counted-twice": (
        "최근 step {times}번에서 backward()를 {place0}에서는 어떤 loss로, {place1}에서는 그 loss가 들어 있는 합으로 "
        "불렀고, 둘 다 한 step에 들어갔습니다({names}).",
        "이 부분은 합에서 정한 가중치보다 한 번 더 셈해집니다",
        "loss.backward()  # 합에 대해서만",
    ),
    "batch-not-used": (
        "{place0}에서 꺼낸 최근 배치 {times}개가 {place1}의 backward()까지 아무 데도 쓰이지 않았습니다. 매번 같은 옛 "
        "배치가 쓰였습니다.",
        "루프 앞에서 만들어 둔 변수로 학습합니다. 배치 하나만 외우고 나머지는 한 번도 보지 않습니다",
        "for xb, yb in loader: loss = criterion(model(xb), yb)  # 루프가 정하는 변수로",
    ),
}
