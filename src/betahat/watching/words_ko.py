"""`watch`의 편지, 한국어: 무엇을 보았는지, 왜 문제인지, 어느 줄로 고치는지."""

from betahat.watching import words_ko_first, words_ko_given

SOMEWHERE = "사용자 코드 밖"
AND_MORE = "{names} 외 {rest}개"
LOOKED = "backward {backwards}번과 갱신 {updates}번을 지켜보았습니다."
BROKEN = (
    "규칙 '{rule}'이 스스로 실패하여({problem}) 더는 쓰지 않습니다. 루프는 건드리지 않았습니다.",
    "이번 실행에서는 이 규칙이 찾는 실수를 볼 수 없습니다",
    "가능하면 루프와 함께 알려 주세요",
)

LETTERS = {
    "gradient-not-cleared": (
        "{place1}에서 {optimizer}의 {step}번째 step이 0으로 초기화하지 않은 기울기를 사용합니다. {place0}의 "
        "backward()가 앞의 "
        "step이 "
        "이미 사용한 기울기 위에 더했습니다: {names}.",
        "지난 기울기가 매번 다시 쓰입니다. 모멘텀이 1.0인 경사하강과 같아서 최솟값을 지나쳐 그 둘레를 끝없이 맴돕니다",
        "{optimizer}.zero_grad()  # step마다 한 번, backward() 앞에",
    ),
    "gradient-not-cleared-by-hand": (
        "{place0}의 backward()가 가중치({names})를 바꾸는 데 이미 사용한 기울기 위에 더합니다.",
        "지난 기울기가 매번 다시 쓰입니다. 모멘텀이 1.0인 경사하강과 같아서 최솟값을 지나쳐 그 둘레를 끝없이 맴돕니다",
        "W.grad = None  # 갱신할 때마다, 모든 가중치 W에 대해",
    ),
    "stepped-twice": (
        "{place1}에서 {optimizer}의 {step}번째 step이 바로 앞의 step이 쓴 기울기를 그대로 다시 씁니다. 둘 사이에 "
        "backward()가 없었습니다(마지막 backward()는 {place0}).",
        "같은 기울기가 두 번 적용되어 학습률이 두 배가 된 셈이고, 모멘텀처럼 상태를 갖는 옵티마이저는 배치 "
        "하나를 둘로 셉니다",
        "두 step 가운데 하나를 지우세요",
    ),
    "cleared-before-use": (
        "{place1}에서 {optimizer}의 최근 step {times}번에 기울기가 없었습니다. {place0}의 backward()가 "
        "{names}에 쓴 것이 "
        "step 전에 지워집니다.",
        "아무것도 배우지 못합니다. 가중치가 그대로입니다",
        "{optimizer}.zero_grad(); loss.backward(); {optimizer}.step()  # 이 순서로",
    ),
    "loss-cut-off": (
        "{place0}의 loss는 계산 과정과 끊어진 텐서입니다(torch.tensor(…), .item(), .data, .detach()). "
        "backward()가 시작한 "
        "자리에서 끝나므로 {place1}의 {optimizer}.step()에는 기울기가 없습니다.",
        "아무것도 배우지 못합니다. 가중치가 그대로입니다",
        "loss = criterion(model(x), y)  # 바로 이 텐서에 backward()를 부르세요",
    ),
    "foreign-parameters": (
        "{optimizer}가 가진 텐서 {count}개 가운데 어느 것도 step {times}번 동안({place1}) 기울기를 받지 못했습니다. "
        "{place0}의 backward()는 어느 옵티마이저에도 없는 {names}에 기울기를 씁니다.",
        "옵티마이저가 다른 모델의, 또는 바뀌기 전의 파라미터를 쥐고 있습니다. 학습하는 것과 loss가 기대는 것이 서로 "
        "다릅니다",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # 모델을 다 만든 다음에",
    ),
    "loss-computed-once": (
        "{place0}의 backward()가 {before}번째 backward()가 지나간 그래프를 다시 지나갑니다. 그 사이에 가중치는 "
        "바뀌었습니다.",
        "예측과 loss를 루프 밖에서 한 번만 계산했습니다. 지금은 없는 가중치의 기울기입니다",
        "yhat = model(x); loss = criterion(yhat, y)  # 루프 안에서 매번",
    ),
    "backward-twice": (
        "{place0}의 backward()가 방금 지나간 그래프를 다시 지나갑니다.",
        "같은 기울기가 한 번 더 더해져 학습률이 두 배가 된 셈입니다",
        "loss.backward()  # loss마다 한 번",
    ),
    "rows-compared-with-all": (
        "{place0}의 loss는 {prediction}와 {response}를 맞춥니다. 행마다 다른 모든 행과 만나는 {n} × {n} 표가 됩니다.",
        "이런 모델이 할 수 있는 최선은 누구에게나 같은 값을 예측하는 것입니다",
        "y = y.reshape(yhat.shape)  # loss를 계산하기 전에. 가중치도 마찬가지",
    ),
    "layer-replaced": (
        "{optimizer}가 가진 텐서 {of}개 가운데 {count}개는 기울기를 받은 적이 없습니다(step은 {place1}). {place0}의 "
        "backward()는 모양이 같지만 어느 옵티마이저에도 없는 {names}에 기울기를 남깁니다.",
        "옵티마이저를 만든 뒤에 층을 바꾸었습니다. 옛 층만 갱신되고 새 층은 처음 가중치로 남습니다",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # 모델을 다 만든 다음에",
    ),
    "loss-not-finite, by hand": (
        "{place0}의 최근 loss가 유한한 값이 아닌데({value}) 가중치를 계속 손으로 갱신합니다.",
        "가중치가 이미 모두 NaN입니다",
        "loss가 유한하지 않으면 바로 멈추세요. 학습률을 10분의 1로 줄이고 log(0), 0/0, 오버플로가 없는지 보세요",
    ),
    "rows-compared-with-all, squares": (
        "{place0}의 loss는 {prediction}와 {response}를 비교합니다. 예측마다 모든 반응값과 견주는 {n} × {n} 표가 "
        "됩니다. "
        "이 loss는 {value}이지만, 짝이 맞는 행끼리의 제곱 평균은 {matched}입니다.",
        "이런 모델이 할 수 있는 최선은 누구에게나 평균을 예측하는 것입니다",
        "y = y.reshape(yhat.shape)  # loss를 계산하기 전에",
    ),
    "closure-does-not-clear": (
        "{place1}의 {optimizer}.step(closure)가 closure를 {times}번 불렀고, {place0}의 backward()가 매번 앞의 "
        "기울기 위에 "
        "더했습니다.",
        "첫 기울기만 옳습니다. 나머지는 여러 자리의 기울기를 더한 것입니다",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "loss-not-finite": (
        "{place0}의 loss가 {value}인데 {place1}에서 {optimizer}의 {step}번째 step이 그 기울기를 씁니다.",
        "이제부터 가중치가 모두 NaN이 됩니다",
        "loss가 유한하지 않으면 바로 멈추세요. 학습률을 10분의 1로 줄이고 log(0), 0/0, 오버플로가 없는지 보세요",
    ),
    "rate-over-limit": (
        "최근 step {steps}번 동안 loss가 매번 커졌습니다: {first}에서 {last}까지. 그 길의 곡률로 보면 학습률의 "
        "한계는 "
        "{limit}인데 {optimizer}의 학습률은 {lr}입니다({place0}, 모멘텀 {momentum}).",
        "한계 2(1 + 모멘텀)/λ를 넘으면 step마다 최솟값에서 더 멀어집니다",
        "lr={safe}  # 한계의 절반. 또는 X의 열을 표준화하세요",
    ),
    "no-update": (
        "{names}에 backward()를 {times}번 했지만({place0}) 갱신이 한 번도 없었습니다. step도 없었고 가중치도 "
        "바뀌지 않았습니다.",
        "아무것도 배우지 못합니다. 기울기를 만들기만 하고 쓰지 않습니다",
        "optimizer.step()  # backward() 다음에",
    ),
    "squashed-twice": (
        "{place0}의 loss는 {outer} 안에 {inner}를 또 넣습니다.",
        "어떤 클래스도 확률 1에 가까워질 수 없어서 기울기가 작고 loss가 어느 값 밑으로 내려가지 않습니다",
        "{mended}  # {inner} 없이, 점수 z 그대로",
    ),
    "layers-hidden": (
        "{owner}.{attribute}는 보통 {kind}이고 그 안에 층이 {count}개 있습니다. {place0}의 loss는 이 층들에 "
        "의존하지만 "
        "{owner}.parameters()는 모르고, 어느 옵티마이저도 갖고 있지 않습니다.",
        "이 층들은 처음의 난수 가중치로 남고, state_dict()에도 없으며 다른 장치로 옮겨지지도 않습니다",
        "self.{attribute} = nn.ModuleList([…])  # 또는 nn.ModuleDict",
    ),
    "parameter-made-anew": (
        "살펴본 최근 backward {times}번마다 {place0}의 loss가 전에 없던 nn.Parameter에 의존했습니다. 매번 새로 "
        "만들어지고 어느 옵티마이저도 갖고 있지 않습니다.",
        "forward마다 새 값으로 만들어져 배운 것이 남지 않습니다",
        "self.W = nn.Parameter(…)  # forward가 아니라 __init__에서",
    ),
    "trained-in-eval-mode": (
        "{place0}의 backward()가 {model}을 지나가는데, 전에는 학습 모드였던 이 모델이 지금은 평가 모드입니다. 안에 "
        "{kinds}이(가) 있습니다.",
        "검증할 때 model.eval()을 부르고 되돌리지 않았습니다. 드롭아웃은 꺼져 있고 이동 평균은 멈춰 있습니다",
        "{model}.train()  # 에포크를 시작할 때마다",
    ),
    "no-slope": (
        "지금까지 step {steps}번 동안 {names}의 기울기가 모두 정확히 0이었는데 {place0}의 loss는 {value}입니다.",
        "아무것도 배우지 못합니다. 0보다 작은 값을 받은 ReLU나 열이 하나뿐인 softmax처럼 출력이 상수입니다",
        "마지막 층 다음에는 활성화 함수를 두지 마세요. 또는 다른 값에서 시작하세요",
    ),
    "optimizer-made-anew": (
        "같은 파라미터로 만든 {class} 옵티마이저가 벌써 {makes}번째입니다(step은 {place0}).",
        "모멘텀과 기울기의 이동 평균이 매번 처음부터 시작됩니다",
        "optimizer = torch.optim.{class}(model.parameters(), …)  # 루프 앞에서 한 번",
    ),
    "state-is-a-reference": (
        "{place0}의 load_state_dict()가 받은 텐서 {count}개는 모델 자신의 것입니다. 따로 둔 뒤에도 모델과 함께 "
        "바뀌었습니다.",
        "state_dict()는 복사본이 아니라 참조를 돌려줍니다. 가장 좋았던 가중치는 사라지고 마지막 것이 다시 들어갑니다",
        "best = copy.deepcopy(model.state_dict())",
    ),
} | words_ko_first.LETTERS
LETTERS |= words_ko_given.LETTERS
