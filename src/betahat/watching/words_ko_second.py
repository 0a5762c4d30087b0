"""`watch`의 편지, 한국어, 이어서."""

LETTERS = {
    "gradients-vanish": (
        "{place1}에서 {optimizer}가 연달아 {times}번 갱신하는 동안, {place0}의 backward()에서 앞쪽 층으로 오는 "
        "기울기가 거의 없습니다. 행렬 {of}개 가운데 {count}개({names})가 그렇습니다. 숫자 하나의 크기가 그곳에서는 "
        "{least}, 가장 큰 곳에서는 {most}입니다.",
        "층을 하나 지날 때마다 기울기에 활성화 함수의 기울기가 곱해집니다. sigmoid라면 많아야 1/4입니다. 층이 많으면 "
        "남는 것이 없어, 앞쪽 층은 처음 뽑힌 값 그대로 머뭅니다",
        "nn.Sigmoid() 대신 nn.ReLU(). 또는 h = h + layer(h), 층 사이에 nn.BatchNorm1d",
    ),
    "foreign-parameters, used": (
        "{place1}에서 {optimizer}의 최근 step {times}번은 가진 텐서 {count}개에서 새 기울기를 찾지 못했습니다. "
        "{place0}의 backward()는 어느 옵티마이저에도 없는 {names}에 기울기를 씁니다.",
        "체크포인트를 새 모델에 불러온 경우처럼, 옵티마이저가 아직 이전 모델의 파라미터를 쥐고 있습니다. 학습하는 것과 "
        "loss가 기대는 것이 서로 다릅니다",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # 새 모델을 만든 다음, 그 뒤에 상태 불러오기",
    ),
    "validation-trains": (
        "{place1}의 {optimizer}.step()이 쓰는 기울기의 일부는 모델이 평가 모드일 때 {place0}에서 만들어졌습니다.",
        "모델을 평가해야 할 데이터로 모델을 학습시키고 있습니다",
        "with torch.no_grad(): …  # 검증 전체를 감싸고, 그 안에서는 backward() 없이",
    ),
    "validation-trains, steps": (
        "{place1}에서 {optimizer}가 평가 모드로, 다른 로더의 배치로 step을 {times}번 한 다음 학습이 이어집니다"
        "({place0}의 backward()).",
        "모델을 평가해야 할 데이터로 모델을 학습시키고 있습니다",
        "with torch.no_grad(): …  # 검증 전체를 감싸고, 그 안에서는 backward()와 step() 없이",
    ),
    "dropout-in-evaluation": (
        "모델({model})이 평가 모드인데 {place0}에서 드롭아웃이 켜져 있습니다.",
        "F.dropout은 따로 말하지 않으면 켜져 있고, forward 안에서 만든 드롭아웃은 학습 모드로 시작합니다. 예측이 매번 "
        "달라집니다",
        "F.dropout(x, p, training=self.training)  # 또는 __init__에서 self.dropout = nn.Dropout(p)",
    ),
    "state-is-a-reference, copied": (
        "{place0}에서 가중치를 자기 자신에게 복사합니다(텐서 {count}개). 따로 둔 것이 모델 자신의 텐서입니다.",
        "state_dict(), .data, .detach()는 복사본이 아니라 참조입니다. 따로 둔 것도 모델과 함께 바뀌었습니다",
        "best = copy.deepcopy(model.state_dict())",
    ),
    "state-is-a-reference, saved": (
        "{place0}에서 저장하는 상태는 전에 받아 둔 것인데, 그 뒤로 모델이 더 학습되면서 함께 바뀌었습니다.",
        "state_dict()는 복사본이 아니라 참조를 돌려줍니다. 그때의 가중치가 아니라 마지막 가중치가 저장됩니다",
        "best = copy.deepcopy(model.state_dict())",
    ),
    "state-is-a-reference, gathered": (
        "{place0}에서 {name}에 한 모델의 상태가 {count}개 들어 있습니다. 갱신 {first}번 뒤부터 {last}번 뒤까지 받아 둔 "
        "것인데 모두 모델 자신의 텐서라서 내용이 다 똑같습니다.",
        "state_dict()는 복사본이 아니라 참조를 돌려줍니다. 평균을 내든 가장 좋은 것을 고르든 마지막 가중치일 뿐입니다",
        "state = copy.deepcopy(model.state_dict())  # {name}에 넣기 전에",
    ),
    "no-update, rebound": (
        "{place1}의 backward()가 {times}번 동안 {names}에 기울기를 썼지만 하나도 바뀌지 않았습니다. {place0}에서 "
        "가중치와 기울기로 계산한 것은 변수에 새 값을 줄 뿐입니다.",
        "아무것도 배우지 못합니다. p = p - lr * p.grad는 새 텐서를 만들고, 모델에는 예전 텐서가 그대로 있습니다",
        "p -= lr * p.grad  # torch.no_grad() 안에서, 제자리에서",
    ),
    "state-is-a-reference, averaged": (
        "{place0}에서 {names}의 평균을 자기 자신과 냅니다(지금까지 backward {times}번 뒤). 천천히 따라가야 할 복사본과 "
        "모델이 같은 텐서입니다.",
        "모델에 이름을 하나 더 붙인 것은 복사가 아닙니다. 평균이 모델 자신이고, 둘을 비교하는 loss는 모델을 자신과 "
        "비교합니다",
        "teacher = copy.deepcopy(student)  # 옵티마이저의 첫 step 전에",
    ),
    "state-not-loaded, removed": (
        "{place0}의 load_state_dict(…, strict=False)가 아무것도 불러오지 않았습니다. 상태에는 {given!r} 같은 텐서가 "
        "{count}개, 모델에는 {asked!r} 같은 파라미터가 {of}개 있는데 양쪽에 함께 있는 이름이 하나도 없습니다.",
        "모델의 가중치가 그대로입니다. 전에 학습한 것이 하나도 들어오지 않았습니다",
        "model.load_state_dict({{k.removeprefix({prefix!r}): v for k, v in state.items()}})  # strict=False 없이",
    ),
    "state-not-loaded, added": (
        "{place0}의 load_state_dict(…, strict=False)가 아무것도 불러오지 않았습니다. 상태에는 {given!r} 같은 텐서가 "
        "{count}개, 모델에는 {asked!r} 같은 파라미터가 {of}개 있는데 양쪽에 함께 있는 이름이 하나도 없습니다.",
        "모델의 가중치가 그대로입니다. 전에 학습한 것이 하나도 들어오지 않았습니다",
        "model.load_state_dict({{{prefix!r} + k: v for k, v in state.items()}})  # strict=False 없이",
    ),
    "state-not-loaded, other": (
        "{place0}의 load_state_dict(…, strict=False)가 아무것도 불러오지 않았습니다. 상태에는 {given!r} 같은 텐서가 "
        "{count}개, 모델에는 {asked!r} 같은 파라미터가 {of}개 있는데 양쪽에 함께 있는 이름이 하나도 없습니다.",
        "모델의 가중치가 그대로입니다. 전에 학습한 것이 하나도 들어오지 않았습니다",
        "model.load_state_dict(state)  # strict=False 없이: 맞지 않는 이름을 torch가 알려 줍니다",
    ),
    "one-batch-only": (
        "{place0}의 로더가 연달아 {times}번, step마다 처음부터 다시 시작해서 배치 {length}개 가운데 첫 배치만 "
        "내놓았습니다.",
        "모델이 첫 배치만 배웁니다",
        "for xb, yb in loader:  # 또는 에포크마다 한 번 it = iter(loader)",
    ),
    "one-batch-only, looked at": (
        "{place0}의 로더가 연달아 {times}번 처음부터 다시 시작해서 배치 {length}개 가운데 첫 배치만 내놓았습니다.",
        "여기서 계산하는 값은 늘 같은 행에서 나옵니다",
        "for xb, yb in loader:  # 모든 배치",
    ),
    "one-batch-only, shuffled": (
        "{place0}의 로더가 연달아 {times}번 처음부터 다시 시작해서 배치 {length}개 가운데 하나만 내놓았습니다.",
        "이터레이터를 만들 때마다 다시 섞으므로 어떤 행은 자주, 어떤 행은 한 번도 나오지 않습니다",
        "for xb, yb in loader:  # 또는 에포크마다 한 번 it = iter(loader)",
    ),
    "iterator-exhausted": (
        "{place0}의 이터레이터는 배치 {given}개를 다 내놓았는데 다시 불렸습니다. 더 내놓을 것이 없습니다.",
        "이 이터레이터를 도는 루프는 할 일이 없습니다. 다음 에포크부터는 step 없이 지나갑니다",
        "for xb, yb in loader:  # 에포크마다 처음부터 시작하는 로더를 그대로",
    ),
    "iterator-exhausted, scheduled": (
        "{place0}의 {kind}가 {times}번 더 진행되고 그때마다 모델의 모드도 바꾸었지만, 그동안 backward()도 step도 "
        "없었습니다. {place1}의 step {steps}번이 전부입니다.",
        "배치를 도는 루프에 남은 것이 없습니다. map(), zip(), 제너레이터, iter(loader)는 가진 것을 한 번만 줍니다. "
        "이후 에포크는 step 없이 지나갑니다",
        "batches = list(…)  # 또는 에포크마다 이터레이터를 새로 만들기",
    ),
    "values-truncated": (
        "{place0}에서 수를 {to}(으)로 바꾸면서 소수 부분이 잘렸고(첫 번째: {how}), {place1}의 loss에서 예측과 "
        "만납니다.",
        "모델이 소수 부분이 없는 수를 배웁니다",
        "y = y.float()  # 정수는 레이블과 위치에만",
    ),
    "generator-exhausted": (
        "가중치 {names}은(는) 처음 {times}번만 바뀌고 그 뒤로는 그대로입니다({place0}의 backward()). {generator}는 "
        "이미 "
        "끝난 제너레이터입니다.",
        "제너레이터는 원소를 한 번만 내놓습니다. 두 번째부터는 이것을 도는 루프가 아무 일도 하지 않습니다",
        "{generator} = list(model.parameters())",
    ),
    "loss-not-finite, made": (
        "{place0}의 loss가 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 그 기울기를 씁니다. 유한하지 않은 "
        "값은 {place2}의 {by}에서 처음 생겼습니다.",
        "이제부터 가중치가 모두 NaN이 됩니다",
        "{by}에 들어가는 값을 정의역 안에 두세요(clamp, eps 더하기, log_softmax, logsumexp). loss가 유한하지 않으면 "
        "멈추세요",
    ),
    "loss-not-finite, weight": (
        "{place0}의 loss가 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 그 기울기를 씁니다. {place2}의 "
        "{by}에 들어간 가중치가 이미 유한하지 않았습니다.",
        "앞선 step이 무한대로 갔습니다. 가중치가 이미 모두 NaN입니다",
        "학습률을 10분의 1로 줄이거나, step() 앞에서 기울기를 자르세요",
    ),
    "loss-not-finite, input": (
        "{place0}의 loss가 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 그 기울기를 씁니다. {place2}의 "
        "{by}에 들어간 데이터에 이미 유한하지 않은 값이 있었습니다.",
        "이제부터 가중치가 모두 NaN이 됩니다",
        "assert X.isfinite().all()  # 학습하기 전에. 값이 모두 같은 열은 나눌 표준편차가 0입니다",
    ),
    "gradient-not-finite": (
        "{place0}의 loss는 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 쓰는 {names}의 기울기는 유한하지 "
        "않습니다. {place2}의 {by}에서 기울기가 무한대이거나 유한하지 않은 값이 생깁니다.",
        "이제부터 가중치가 모두 NaN이 됩니다",
        "torch.sqrt(x + 1e-8)  # {by}에 들어가는 값을 정의역의 끝에서 떼어 두세요",
    ),
    "gradient-not-finite, somewhere": (
        "{place0}의 loss는 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 쓰는 {names}의 기울기는 유한하지 "
        "않습니다.",
        "이제부터 가중치가 모두 NaN이 됩니다",
        "sqrt(0), norm(0), 0/0, where(…, log(0))이 없는지 보세요. torch.autograd.detect_anomaly()가 줄을 알려 줍니다",
    ),
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
    "compared-with-itself": (
        "{place0}의 {loss}에 똑같은 텐서가 두 번 들어갑니다. 지금까지 {times}번 모두 그랬습니다.",
        "모델이 무엇을 내놓든 이 loss, 또는 그 안의 거리가 늘 0이어서 배울 것이 없습니다",
        "{loss}에 넣는 변수 이름을 확인하세요. 정답, 교사 모델의 출력, 또는 양성 예가 들어갈 자리입니다",
    ),
    "loss-not-scaled": (
        "{place1}에서 GradScaler가 기울기를 배율로 나누고 {optimizer}의 {step}번째 step을 합니다. 그런데 {place0}의 "
        "backward()는 배율을 곱하기 전의 loss에서 시작했습니다.",
        "갱신이 수천 분의 1로 작아집니다",
        "scaler.scale(loss).backward()  # scale()이 돌려준 텐서에서",
    ),
    "closure-returns-another": (
        "{place1}에서 {optimizer}가 step 한 번에 부른 closure가 연달아 {times}번 {value}을(를) 돌려주었습니다. 그동안 "
        "{place0}의 backward()가 시작한 loss는 {first}에서 {last}(으)로 바뀌었습니다.",
        "옵티마이저는 closure가 돌려주는 값으로 걸음을 판단합니다. 늘 같은 값을 받으면 직선 탐색이 길을 잃거나 "
        "멈춥니다",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss  # 방금 계산한 loss",
    ),
    "graph-kept": (
        "{place0}에서 더하는 합이 loss를 그래프째로 붙들고 있습니다. 벌써 가중치가 서로 다른 {times}번의 loss가 "
        "들어 있고, backward()는 이 합을 지나가지 않습니다.",
        "loss마다 그때의 중간 값이 모두 메모리에 남습니다. 메모리가 step마다 늘다가 모자라게 됩니다",
        "running_loss += loss.item()  # 또는 loss.detach()",
    ),
    "evaluated-in-training-mode, norms": (
        "{place0}에서 기울기 없이 loss를 {times}번 계산했는데, 그 앞의 배치 정규화가 학습 모드였습니다.",
        "배치 정규화가 이 배치 자신의 평균으로 정규화하고 이동 평균까지 옮깁니다. 검증이 모델을 바꿉니다. 이동 평균을 "
        "새로 재려는 것이라면 괜찮습니다",
        "model.eval()  # 검증하기 전에. 끝나면 model.train()",
    ),
    "scheduler-of-another-optimizer, doubled": (
        "종류와 설정이 같은 {kind} {count}개를 한 옵티마이저로 만들었고({place0}, {place1}) 저마다 {times}번 "
        "진행되었습니다({place2}). 함께 step을 하는 다른 옵티마이저에는 스케줄러가 없습니다.",
        "한쪽 학습률은 두 배로 빨리 줄고, 다른 쪽 학습률은 그대로입니다",
        "scheduler = {kind}(other_optimizer, …)  # 스케줄러마다 제 옵티마이저로",
    ),
    "rate-collapsed, epochs": (
        "{place1}에서 {optimizer}의 학습률이 step {steps}번 만에 {largest}에서 {rate}(으)로 떨어졌습니다. {place0}의 "
        "{kind}가 {often}번 진행되었고, 최근 step {times}번은 학습률이 처음의 100만분의 1도 되지 않았습니다.",
        "학습이 멈추었습니다. 더 돌려도 달라지는 것이 없습니다",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, …)  # 더 천천히. 예를 들어 gamma=0.3 대신 0.9",
    ),
    "rate-collapsed, absolute": (
        "{place1}에서 만든 {kind}(진행은 {place0})가 처음 준 배율 {factor}은(는) 옵티마이저의 학습률 그 자체입니다. "
        "{place2}의 step {steps}번은 학습률이 {rate} 이하였습니다.",
        "함수가 주는 값은 옵티마이저를 만들 때의 학습률에 곱해집니다. 학습률이 아니라 배율을 주어야 합니다",
        "lr_lambda=lambda epoch: …  # 1이면 학습률 그대로. 또는 옵티마이저를 lr=1로",
    ),
    "scheduler-upside-down, falling": (
        "{place0}의 {kind}(mode='max')에 loss와 함께 줄어드는 값을 줍니다. 최근 {times}번 동안 {first}에서 {value}까지 "
        "줄었고, backward()의 loss도 {loss}에서 {now}까지 줄었습니다.",
        "스케줄러는 그 값이 커지기를 기다립니다. 학습이 잘될수록 나아지지 않는다고 보고 학습률을 깎습니다",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='min')  # 'max'는 점수에만",
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
