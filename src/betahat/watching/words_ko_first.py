"""`watch`의 편지, 한국어: 처음 몇 번의 반복을 가까이서 보는 규칙들."""

from betahat.watching import words_ko_second

_NOTHING = "아무것도 배우지 못합니다. 가중치가 그대로입니다"

LETTERS = {
    "stepped-by-two": (
        "{place0}의 {optimizer}.step()이 연달아 {times}번, 다른 옵티마이저가 방금 쓴 기울기를 다시 썼습니다. 두 "
        "옵티마이저가 같은 {names}을(를) 갖고 있습니다.",
        "이 가중치는 기울기 하나로 두 번 움직이고, 두 번째 옵티마이저가 맡아야 할 파라미터는 아무도 움직이지 않습니다",
        "{optimizer} = torch.optim.{class}(other_model.parameters(), …)  # 파라미터마다 옵티마이저 하나",
    ),
    "gradients-thrown-away": (
        "{place1}의 {optimizer}.step()은 backward() {portion}번을 모아 쓰는데, 지금까지 {times}번은 그 가운데 "
        "{lost}번({place0})이 쓰이기 전에 지워졌습니다.",
        "지우기 직전의 배치들은 계산만 하고 학습에 쓰지 않습니다",
        "step() 다음에만 지우고, 에포크의 마지막 배치 뒤에 step()을 한 번 더 부르세요",
    ),
    "gradients-thrown-away, passes": (
        "{place1}에서 {optimizer}가 {steps}번 갱신하는 동안 backward() {times}번이 통째로 버려졌습니다. 아무도 쓰기 "
        "전에 기울기를 지웠습니다(실제로 쓰이는 것은 {place0}의 backward()).",
        "loss의 일부나 배치의 일부를 계산만 하고 배우지 않습니다",
        "{optimizer}.zero_grad()  # step마다 한 번, 첫 backward() 앞에서만",
    ),
    "gradients-left-over": (
        "step() 한 번에 backward() {portion}번을 모으는데, 끝날 때 {lost}번({place0})이 남았고 step()은 오지 "
        "않았습니다.",
        "마지막 배치들은 계산만 하고 쓰지 않았습니다",
        "if (i + 1) % k == 0 or i + 1 == len(loader): optimizer.step()",
    ),
    "pass-from-elsewhere": (
        "step() 한 번이 {place0}와 {place1}의 backward() 두 번을 더해 썼습니다. 다른 step()은 모두 한 번만 씁니다.",
        "루프 앞이나 중간의 backward()가 기울기를 남겼고, 다음 step()이 그것까지 따라갔습니다",
        "{optimizer}.zero_grad()  # 루프를 시작하기 전에, 또는 backward()마다 그 앞에",
    ),
    "accumulated-as-a-sum": (
        "{place1}의 {optimizer}.step()이 {place0}의 backward() {portion}번을 더해 쓰는데, 횟수로 나누지 않았습니다.",
        "각 loss가 평균이라면 기울기가 전체 배치의 {portion}배가 되고 보폭도 그만큼 커집니다",
        "(loss / {portion}).backward()  # 평균을 뜻했다면",
    ),
    "no-update, optimizer": (
        "backward()가 {names}에 {times}번 기울기를 썼지만({place0}), 이 파라미터를 가진 옵티마이저는 한 번도 step()을 "
        "하지 않았습니다.",
        _NOTHING,
        "optimizer.step()  # backward() 다음에 매번",
    ),
    "no-slope, asleep": (
        "step {steps}번 동안 기울기가 모두 정확히 0이었는데 {place0}의 loss는 {value}입니다. 모양이 {shape}인 {kind} "
        "층이 한계값만 내놓습니다.",
        "아무것도 배우지 못합니다. 활성화 함수가 한계에 닿으면 기울기가 없습니다",
        "마지막 층 다음에는 활성화 함수를 두지 마세요. 입력은 표준화하고 처음 가중치는 작게 하세요",
    ),
    "units-dead": (
        "연달아 {times}번, 모양이 {shape}인 {kind} 층이 모든 행과 모든 유닛에서 한계값만 내놓았습니다(loss는 "
        "{place0}).",
        "이 층보다 앞에 있는 것은 아무것도 배우지 못합니다. 뒤에서 오는 기울기가 없습니다",
        "처음 가중치와 편향을 작게, 입력은 표준화하거나 nn.LeakyReLU()를 쓰세요",
    ),
    "units-identical": (
        "{place1}에서 {optimizer}가 {steps}번 갱신했는데도 {names}의 행 {units}개가 마지막 비트까지 똑같습니다.",
        "똑같이 시작한 유닛은 똑같은 기울기를 받아 끝까지 똑같습니다. 유닛 하나와 다를 것이 없습니다",
        "nn.init.kaiming_uniform_(layer.weight)  # 상수가 아니라 난수로",
    ),
    "clipped-without-effect": (
        "{place0}의 클리핑이 연달아 {times}번, 이미 step()이 쓰고 난 기울기를 만났습니다. 다음 step()은 다른 기울기를 "
        "씁니다.",
        "기울기가 실제로는 한 번도 잘리지 않습니다. 부르는 자리가 틀렸습니다",
        "loss.backward(); nn.utils.clip_grad_norm_(model.parameters(), {bound}); optimizer.step()",
    ),
    "clipped-without-effect, none": (
        "{place0}의 클리핑이 파라미터 {found}개를 받았지만, 연달아 {times}번 그 가운데 어느 것에도 앞으로 쓰일 "
        "기울기가 "
        "없었습니다.",
        "기울기가 실제로는 한 번도 잘리지 않습니다. backward() 앞에서 불렀거나 다른 파라미터를 넘겼습니다",
        "loss.backward(); nn.utils.clip_grad_norm_(model.parameters(), {bound}); optimizer.step()",
    ),
    "clipped-without-effect, no parameters": (
        "{place0}의 클리핑이 연달아 {times}번 빈 파라미터 목록을 받았습니다. 제너레이터는 원소를 한 번만 내놓습니다.",
        "기울기가 한 번도 잘리지 않습니다",
        "parameters = list(model.parameters())  # 또는 부를 때마다 model.parameters()",
    ),
    "clipped-half-way": (
        "{place0}의 클리핑이 기울기를 다 모으기 전에 일어납니다. {place1}의 backward()가 그 뒤에도 {names}에 더하고, "
        "step()은 그 합을 씁니다.",
        "먼저 온 기울기는 거듭 줄어들고, 합은 제한되지 않습니다",
        "마지막 backward() 다음, step() 바로 앞에서 한 번만 자르세요",
    ),
    "clipped-before-unscale": (
        "{place0}의 클리핑이 GradScaler의 배율이 아직 곱해진 기울기를 만났습니다({place1}의 backward()). 상한은 "
        "{bound}입니다.",
        "상한이 수천 배 작은 셈이어서 갱신이 거의 사라집니다",
        "scaler.unscale_(optimizer)  # 클리핑 앞에",
    ),
    "stepped-while-scaled": (
        "{place1}에서 {optimizer}의 {step}번째 step이 배율이 곱해진 loss의 기울기({place0}의 backward())를 배율로 "
        "나누지 않고 씁니다.",
        "갱신이 수천 배로 커집니다",
        "scaler.step({optimizer}); scaler.update()  # {optimizer}.step() 대신",
    ),
    "closure-does-not-clear, steps": (
        "{place1}의 {optimizer}.step(closure)에서 closure가 앞의 step이 이미 쓴 기울기 위에 더합니다({place0}의 "
        "backward()): {names}.",
        "step마다 지금까지의 기울기를 모두 더한 것을 따라갑니다",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "closure-does-not-clear, outside": (
        "{place1}의 {optimizer}.step(closure)에서 closure가 step() 전에 만들어 두고 쓰지 않은 기울기 위에 더합니다"
        "({place0}의 backward()): {names}.",
        "closure 밖과 안에서 기울기가 두 번 셈해집니다",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss  # 밖에서는 backward() 없이",
    ),
    "closure-without-backward": (
        "{place0}의 {optimizer}.step(closure)가 closure를 {times}번 불렀지만 closure는 기울기를 만들지 않았습니다.",
        "옵티마이저는 시험해 보는 자리마다 loss와 기울기를 closure에 묻는데, 옛 기울기만 받습니다",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "stepped-twice, by hand": (
        "최근 반복마다 가중치 {names}이(가) 같은 기울기({place0}의 backward())로 두 번 움직였습니다.",
        "학습률이 정한 것의 두 배가 된 셈입니다",
        "두 갱신 가운데 하나를 지우세요",
    ),
    "part-cut-off": (
        "{place0}의 loss에 가중치에 따라 달라지지만 기울기가 없는 항이 있습니다. {place1}의 {by}에서 끊어졌습니다.",
        "이 항은 출력되는 숫자만 바꾸고, 배우는 것은 바꾸지 않습니다",
        "loss = first + second  # 둘 다 그래프가 이어진 텐서로. .item(), .detach(), .data, no_grad() 없이",
    ),
    "network-cut-off": (
        "{optimizer}가 가진 파라미터 {of}개 가운데 {count}개는 {place0}의 loss에 들어가지만 기울기가 한 번도 돌아오지 "
        "않았습니다: {names}. {place1}의 {by}에서 길이 끊어집니다.",
        "모델의 이 부분은 처음 가중치로 남습니다",
        "이 가중치에서 loss까지 가는 길에서 {by}을(를) 빼세요. .detach(), .data, .numpy(), torch.tensor(…) 없이",
    ),
    "network-cut-off, empty": (
        "{place1}에서 {optimizer}가 step을 {times}번 하는 동안 파라미터 어느 것도 기울기를 받지 못했습니다: {names}. "
        "{place0}의 backward()는 다른 옵티마이저의 가중치에만 닿습니다.",
        "이 신경망은 처음 가중치로 남습니다",
        "이 신경망의 출력이 자기 loss로 들어가는 곳에서 .detach()나 no_grad()를 빼세요",
    ),
    "prediction-computed-once": (
        "{place0}의 loss는 새것이지만 {before}번째 backward()가 지나간 그래프를 다시 지나갑니다. 그 사이에 "
        "{names}은(는) "
        "바뀌었습니다.",
        "예측을 루프 밖에서 한 번만 계산했습니다. 지금은 없는 가중치의 기울기입니다",
        "yhat = model(x)  # 루프 안에서 매번",
    ),
    "stepped-before-backward": (
        "{place0}의 loss를 계산한 뒤 backward()를 부르기 전에 step()이 {names}을(를) 바꾸었습니다.",
        "지금은 없는 가중치의 기울기이고, step()은 늘 앞 배치의 기울기를 씁니다",
        "optimizer.zero_grad(); loss.backward(); optimizer.step()  # loss 다음에 이 순서로",
    ),
    "losses-pile-up": (
        "{place0}의 loss 안에 앞에서 계산한 loss가 들어 있습니다. backward()가 {before}번째 때의 그래프를 또 "
        "지나갑니다.",
        "지난 loss가 반복마다 다시 셈해지고, 그 기울기는 지금은 없는 가중치의 것이며, 그래프는 끝없이 커집니다",
        "total += loss.item()  # 기록용. backward()는 새 loss에만",
    ),
    "backward-weighted-by-loss": (
        "{place0}의 backward()가 기울기 인자로 loss 자신({value})을 받았습니다.",
        "기울기마다 loss가 곱해집니다. 처음에는 보폭이 너무 크고, loss가 줄면 보폭도 사라집니다",
        "loss.backward()",
    ),
    "rows-compared-with-all, metric": (
        "{place0}에서 {prediction}와 {response}가 만나 {n} × {n} 표가 됩니다. 눈으로 보려고 계산하는 값입니다.",
        "예측과 반응값이 얼마나 맞는지 말해 주지 못하는 숫자입니다",
        "y = y.reshape(yhat.shape)  # 비교하기 전에",
    ),
    "softmax-over-one": (
        "{place0}의 loss는 열이 하나인 ({rows}, {columns}) 텐서에서 행마다 유닛 하나로 softmax를 계산합니다.",
        "유닛 하나의 softmax는 무엇이 들어오든 1이고 그 로그는 0입니다. 기울기가 없습니다",
        "유닛이 하나면 F.binary_cross_entropy_with_logits(z, y), 둘이면 F.cross_entropy(z, y)",
    ),
    "softmax-over-rows": (
        "{place0}의 loss는 ({rows}, {columns}) 텐서의 열 {columns}개가 아니라 행 {rows}개에 걸쳐 softmax를 계산합니다.",
        "배치의 행끼리 서로 다투고, 한 행의 클래스 확률을 더해도 1이 되지 않습니다",
        "F.log_softmax(z, dim=1)",
    ),
    "nll-of-scores": (
        "{place0}의 loss는 확률의 로그를 받아야 하는데 0보다 큰 수를 받았습니다.",
        "확률의 로그는 0보다 클 수 없습니다. loss가 끝없이 내려가지만 뜻이 없습니다",
        "F.cross_entropy(z, y)  # 또는 F.nll_loss(F.log_softmax(z, dim=1), y)",
    ),
    "parameters-left-out": (
        "파라미터 {count}개가 매번 기울기를 받지만({place1}의 backward()) 어느 옵티마이저에도 없습니다: {names}. "
        "{place0}의 {optimizer}는 다른 파라미터 {of}개를 갖고 있습니다.",
        "처음 가중치로 남습니다. 일부러 그랬다면 requires_grad_(False)로 밝히면 시간도 아낍니다",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # 모든 신경망의 파라미터를 빠짐없이",
    ),
    "parameters-left-out, lately": (
        "학습이 시작되고 한참 뒤부터 파라미터 {count}개가 기울기를 받는데({place1}의 backward()) 어느 옵티마이저에도 "
        "없습니다: {names}. {place0}의 {optimizer}는 다른 파라미터 {of}개를 갖고 있습니다.",
        "얼린 것을 풀거나 새로 더했지만 아무도 움직이지 않습니다",
        "{optimizer}.add_param_group({{'params': new_parameters}})",
    ),
    "rate-over-limit, by hand": (
        "최근 {steps}번 동안 loss가 매번 커졌습니다: {first}에서 {last}까지({place0}의 backward()). 갱신을 따라 잰 "
        "곡률로 보면 학습률의 한계는 {limit}인데 지금은 {lr}입니다.",
        "한계 2/λ를 넘으면 갱신할 때마다 최솟값에서 더 멀어집니다",
        "lr = {safe}  # 한계의 절반. 또는 X의 열을 표준화하세요",
    ),
    "steps-uphill": (
        "최근 {steps}번 동안 loss가 매번 커졌고({first}에서 {last}까지), 가중치가 기울기 반대쪽이 아니라 기울기 쪽으로 "
        "움직입니다({place0}의 backward()).",
        "loss는 기울기의 반대쪽으로 가야 작아집니다. 우도를 키우는 중이라면 괜찮습니다",
        "W -= lr * W.grad",
    ),
    "rate-too-small": (
        "{place0}에서 {optimizer}가 {steps}번 갱신했지만 가중치는 제 길이의 {share}만큼 움직였습니다. 학습률은 {rate}, "
        "loss는 {then}에서 {now}이(가) 되었습니다.",
        "이 학습률로는 아무리 오래 기다려도 배우지 못합니다",
        "lr=…  # 더 크게. loss가 줄어들 때까지 열 배씩",
    ),
    "rate-too-small, by hand": (
        "손으로 {steps}번 갱신했지만 모두 합쳐 loss를 {gain}만큼밖에 바꿀 수 없습니다({place0}의 backward()). loss는 "
        "{then}에서 {now}이(가) 되었습니다.",
        "이 학습률로는 아무리 오래 기다려도 배우지 못합니다",
        "lr = …  # 더 크게. loss가 줄어들 때까지 열 배씩. 그러다 커지면 X의 열을 표준화하세요",
    ),
    "rate-zero": (
        "{place0}에서 {optimizer}의 최근 step {times}번은 학습률이 정확히 0이었습니다.",
        _NOTHING,
        "lr=…  # 0보다 크게",
    ),
    "rate-zero, scheduled": (
        "{place0}에서 {optimizer}의 최근 step {times}번은 학습률이 정확히 0이었습니다. {kind}가 그렇게 정했습니다"
        "({place1}).",
        _NOTHING,
        "lr_lambda=lambda step: min(1, (step + 1) / warmup)  # 0보다 큰 비율로, // 대신 /",
    ),
    "rate-collapsed": (
        "{place1}에서 {optimizer}의 학습률이 step {steps}번 만에 {largest}에서 {rate}(으)로 떨어졌습니다. {place0}의 "
        "{kind}가 {often}번 진행되었고, 최근 step {times}번은 학습률이 처음의 1000분의 1도 되지 않았습니다.",
        "기울기는 여전히 큰데 학습이 멈추었습니다",
        "scheduler.step()  # 배치마다가 아니라 에포크마다 한 번. 또는 더 천천히 줄어들게",
    ),
    "rate-collapsed, by hand": (
        "{place1}에서 {optimizer}의 학습률이 step {steps}번 만에 {largest}에서 {rate}(으)로 떨어졌습니다. 최근 step "
        "{times}번은 학습률이 처음의 1000분의 1도 되지 않았습니다.",
        "기울기는 여전히 큰데 학습이 멈추었습니다",
        "학습률은 배치마다가 아니라 에포크마다 줄이거나, 더 천천히 줄이세요",
    ),
    "update-lost-to-rounding": (
        "{place0}에서 {optimizer}의 처음 step {steps}번 동안, 기울기가 있는 가중치의 {share} %가 한 비트도 바뀌지 "
        "않았습니다: {names}, 학습률 {rate}.",
        "갱신이 가중치의 마지막 자리보다 작아서 반올림으로 사라집니다",
        "lr=…  # 더 크게",
    ),
    "update-lost-to-rounding, short": (
        "{place0}에서 {optimizer}의 처음 step {steps}번 동안, 기울기가 있는 가중치의 {share} %가 한 비트도 바뀌지 "
        "않았습니다: {names}의 자료형이 {dtype}입니다.",
        "{dtype}은 두세 자리만 남깁니다. 그보다 작은 갱신은 반올림으로 사라집니다",
        "model.float()  # 가중치는 float32로, 순전파에만 torch.autocast",
    ),
    "scheduler-never-stepped": (
        "{kind}({place0}에서 만듦)가 한 번도 진행되지 않았는데 옵티마이저는 {place1}에서 step을 {times}번 했습니다. "
        "학습률은 아직 {rate}입니다.",
        "스케줄러가 아무 일도 하지 않습니다",
        "scheduler.step()  # 에포크마다 또는 배치마다, optimizer.step() 다음에",
    ),
    "scheduler-instead-of-optimizer": (
        "{place0}의 {kind}가 {times}번 진행되고 backward()가 {backwards}번 있었지만, 옵티마이저는 한 번도 step을 하지 "
        "않았습니다.",
        _NOTHING,
        "optimizer.step(); scheduler.step()  # 둘 다",
    ),
    "scheduler-of-another-optimizer": (
        "{place0}의 {kind}({place1}에서 만듦)는 진행되지만 그 옵티마이저는 쉬고 있습니다. 같은 파라미터를 다른 "
        "옵티마이저가 움직입니다.",
        "아무도 쓰지 않는 학습률을 바꾸고 있습니다",
        "scheduler = {kind}(optimizer, …)  # 실제로 step을 하는 옵티마이저로, 그것을 만든 다음에",
    ),
    "scheduler-before-optimizer": (
        "{place0}의 {kind}가 옵티마이저보다 먼저 진행됩니다.",
        "첫 학습률은 한 번도 쓰이지 않고, 나머지는 한 step씩 앞당겨집니다",
        "optimizer.step(); scheduler.step()  # 이 순서로",
    ),
    "scheduler-out-of-step": (
        "{place0}의 {kind}는 {total}번 진행하도록 만들었는데 {times}번만 진행되었고, 옵티마이저는 step을 {steps}번 "
        "했습니다.",
        "배치 수에 맞춘 일정을 에포크마다 진행합니다. 학습률이 처음 근처를 벗어나지 못합니다",
        "scheduler.step()  # optimizer.step()마다 그 다음에",
    ),
    "parameter-made-anew, in forward": (
        "{layer}이(가) {outer}의 forward 안({place0})에서 최근 {times}번 모두 새로 만들어졌고, loss가 거기에 "
        "의존합니다.",
        "매번 난수이고 어느 옵티마이저에도 없으며, 배운 것이 남지 않습니다",
        "self.layer = …  # forward가 아니라 __init__에서",
    ),
    "layer-made-late": (
        "{layer}이(가) {outer}의 forward 안({place0})에서 만들어져 기울기를 받지만, 그보다 먼저 만든 {optimizer}"
        "({place1})에는 없습니다: {names}.",
        "이 층은 처음의 난수 가중치로 남습니다",
        "층은 __init__에서 만들거나, 옵티마이저를 만들기 전에 배치 하나를 모델에 통과시키세요",
    ),
    "trained-in-eval-mode, always": (
        "{place0}의 backward()가 지나가는 {model}은(는) 처음부터 평가 모드였습니다. 안에 {kinds}이(가) 있습니다.",
        "드롭아웃은 꺼져 있고, 배치 정규화는 재어 본 적 없는 평균을 씁니다",
        "{model}.train()  # 학습을 시작하기 전에",
    ),
    "evaluated-in-training-mode": (
        "{place0}에서 기울기 없이 예측하는데 드롭아웃이 켜져 있습니다. 모델({model})이 학습 모드입니다.",
        "학습 모드로 검증하면 결과가 매번 달라집니다. 예측의 흩어짐을 보려는 것이라면 괜찮습니다",
        "model.eval()  # 검증하기 전에. 끝나면 model.train()",
    ),
} | words_ko_second.LETTERS
